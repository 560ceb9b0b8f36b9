// Times work on a GPU as it is found: warmed up, on buffers that the L2 cache cannot hold.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "minidl/kernels/common/exec_context.h"
#include "minidl/kernels/common/view.h"

namespace minidl::bench {

struct Timing {
  double microseconds = 0;  ///< the median
  double fastest = 0, slowest = 0;
};

/// The time of one call of `work`, which queues on ctx.stream and gets 0, 1, 2, … to rotate its
/// buffers by. Warms up for a fifth of a second, then takes 21 times of as many calls as fill a
/// millisecond.
Timing time_on_gpu(const ExecContext& ctx, const std::function<void(std::size_t)>& work);

/// As many sets of `bytes` as make sure that none is in the L2 cache when its turn comes.
std::size_t buffer_sets(const Device& device, std::size_t bytes);

/// Memory on the GPU with a view of it, filled with random numbers from [-1, 1).
class GpuTensor {
 public:
  GpuTensor(ExecContext& ctx, DType dtype, const Shape& shape);

  const kernels::View& view() const { return view_; }
  void* data() const { return view_.data; }

  /// Some of its elements, always the same ones, as f64.
  std::vector<double> sample(ExecContext& ctx) const;

 private:
  Buffer buffer_;
  kernels::View view_;
};

/// `count` of them.
std::vector<GpuTensor> gpu_tensors(ExecContext& ctx, DType dtype, const Shape& shape,
                                   std::size_t count);

}  // namespace minidl::bench
