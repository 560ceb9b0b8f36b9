#include "minidl/nn/modules/container.h"

#include "minidl/kernels/common/check.h"

namespace minidl::nn {

void Sequential::set_checkpoints(std::vector<std::size_t> starts) {
  for (std::size_t i = 0; i < starts.size(); ++i) {
    check(starts[i] < size() && (i == 0 || starts[i - 1] < starts[i]),
          "Sequential: checkpoints must start at ascending numbers below {}, not {}", size(),
          fmt::join(starts, ", "));
  }
  checkpoints_ = std::move(starts);
}

Tensor Sequential::forward(const Tensor& x) {
  if (checkpoints_.empty()) return run(x, 0, size());
  Tensor result = run(x, 0, checkpoints_.front());
  for (std::size_t i = 0; i < checkpoints_.size(); ++i) {
    const std::size_t begin = checkpoints_[i];
    const std::size_t end = i + 1 < checkpoints_.size() ? checkpoints_[i + 1] : size();
    result =
        checkpoint([this, begin, end](const Tensor& in) { return run(in, begin, end); }, result);
  }
  return result;
}

Tensor Sequential::run(const Tensor& x, std::size_t begin, std::size_t end) const {
  Tensor result = x;
  for (std::size_t i = begin; i < end; ++i) result = (*this)[i].call(result);
  return result;
}

}  // namespace minidl::nn
