// Reading from a device without stopping it.
#pragma once

#include <vector>

#include "minidl/core/tensor.h"
#include "minidl/kernels/common/pinned_memory.h"

namespace minidl {

/// The elements of a tensor on their way to the host. `to_vector` of the tensor itself would wait
/// for all that has been queued until it is called; this waits for what was queued when it was
/// made.
class HostCopy {
 public:
  HostCopy() = default;
  explicit HostCopy(const Tensor& tensor);

  /// All elements in row-major order, converted. Throws Error if the device has failed.
  std::vector<double> to_vector() const;
  /// The one element; throws Error unless there is one.
  double item() const;

 private:
  kernels::View view_;   // of what lies in `pinned_`
  PinnedBuffer pinned_;  // from a GPU
  Event copied_;
  std::vector<double> values_;  // from the CPU, where nothing is on its way
};

}  // namespace minidl
