// Where a NaN comes from.
#pragma once

#include "minidl/core/tensor.h"

namespace minidl {

/// While it lives, every result of an operation on this thread and every gradient in its backward
/// passes is searched for NaN. The first one throws an Error that names the operation, its module
/// and the element. Slow, and on a GPU it waits after each operation. As PyTorch's detect_anomaly,
/// but in forward, too. Guards nest; one with `enabled` false switches the search off.
class DetectAnomaly {
 public:
  explicit DetectAnomaly(bool enabled = true);
  ~DetectAnomaly();
  DetectAnomaly(const DetectAnomaly&) = delete;
  DetectAnomaly& operator=(const DetectAnomaly&) = delete;

 private:
  bool previous_;
};

/// Whether a DetectAnomaly is at work on this thread.
bool detecting_anomalies();

namespace detail {

/// Throws Error if a result of `op` has a NaN. The modules that it passes add their names.
void check_results(const char* op, const Tensors& operands, const Tensors& results);
/// Throws Error if a gradient has one that the backward of `op` returned; `path` is where the
/// forward ran.
void check_gradients(const char* op, const std::string& path, const Tensors& arrived,
                     const Tensors& gradients);

}  // namespace detail
}  // namespace minidl
