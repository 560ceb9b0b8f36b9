#include "minidl/core/host_copy.h"

#include "minidl/core/copy_elements.h"
#include "minidl/core/grad_mode.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/transfer.h"

namespace minidl {

HostCopy::HostCopy(const Tensor& tensor) {
  if (tensor.device().is_cpu()) {
    values_ = tensor.to_vector();
    return;
  }
  const NoGradGuard no_grad;
  const Tensor dense = tensor.contiguous();
  view_ = dense.view();
  pinned_ = PinnedBuffer(static_cast<std::size_t>(dense.numel()) * size_of(dense.dtype()));
  const Stream stream = current_stream(dense.device());
  kernels::transfer(pinned_.data(), cpu, view_.data, dense.device(), pinned_.bytes(), stream);
  pinned_.used_by(stream);
  copied_ = stream.record();
  view_.data = pinned_.data();
}

std::vector<double> HostCopy::to_vector() const {
  if (!view_.defined) return values_;
  copied_.synchronize();
  std::vector<double> values(static_cast<std::size_t>(view_.numel()));
  copy_elements(view_, cpu, row_major_view(values.data(), f64, view_.shape), cpu);
  return values;
}

double HostCopy::item() const {
  const std::vector<double> values = to_vector();
  check(values.size() == 1, "item: there are {} elements, not one", values.size());
  return values.front();
}

}  // namespace minidl
