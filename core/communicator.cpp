#include "minidl/core/communicator.h"

#include <algorithm>

#include "minidl/core/grad_mode.h"
#include "minidl/kernels/common/check.h"

namespace minidl {
namespace {

void check_dense(const char* op, const Tensor& tensor) {
  check(tensor.defined(), "{}: the tensor is undefined", op);
  if (tensor.is_fake()) fail("{}: {} has no elements", op, describe(tensor));
  check(is_dense(tensor.shape(), tensor.strides()),
        "{}: {} has gaps between its elements (strides {}); pass contiguous() and copy it back", op,
        describe(tensor), tensor.strides());
}

void check_reducible(const char* op, const Tensor& tensor, Reduction reduction) {
  const DType dtype = tensor.dtype();
  check(dtype == f32 || dtype == f64 || dtype == i32 || dtype == i64,
        "{}: {} cannot be reduced; f32, f64, i32 and i64 can", op, dtype);
  check(reduction != Reduction::mean || is_floating_point(dtype),
        "{}: the mean of {} is not defined; take the sum", op, dtype);
}

void check_parts(const char* op, const Tensor& part, const Tensor& whole, int size) {
  check_dense(op, part);
  check_dense(op, whole);
  check(part.dtype() == whole.dtype() && part.device() == whole.device() &&
            whole.numel() == part.numel() * size,
        "{}: with {} ranks {} needs a whole of {} elements of the same type and place, not {}", op,
        size, describe(part), part.numel() * size, describe(whole));
}

class FinishedWork final : public Work {
 public:
  bool done() const override { return true; }
  void wait(std::optional<std::chrono::milliseconds>) override {}
};

WorkPtr finished() {
  return std::make_shared<FinishedWork>();
}

}  // namespace

WorkPtr Communicator::all_reduce(const Tensor& tensor, Reduction op) {
  check_dense("all_reduce", tensor);
  check_reducible("all_reduce", tensor, op);
  tensor.storage().bump_version("all_reduce");
  return start_all_reduce(tensor, op);
}

WorkPtr Communicator::broadcast(const Tensor& tensor, int root) {
  check_dense("broadcast", tensor);
  check(root >= 0 && root < size(), "broadcast: there is no rank {} among {}", root, size());
  tensor.storage().bump_version("broadcast");
  return start_broadcast(tensor, root);
}

WorkPtr Communicator::all_gather(const Tensor& part, const Tensor& whole) {
  check_parts("all_gather", part, whole, size());
  whole.storage().bump_version("all_gather");
  return start_all_gather(part, whole);
}

WorkPtr Communicator::reduce_scatter(const Tensor& whole, const Tensor& part, Reduction op) {
  check_parts("reduce_scatter", part, whole, size());
  check_reducible("reduce_scatter", part, op);
  part.storage().bump_version("reduce_scatter");
  return start_reduce_scatter(whole, part, op);
}

void Communicator::barrier() {
  all_reduce(zeros({1}, {.dtype = i32}))->wait();
}

std::vector<std::string> Communicator::all_gather_text(const std::string& text) {
  const auto ranks = static_cast<std::size_t>(size());
  const Tensor length = full({1}, static_cast<double>(text.size()), {.dtype = i64});
  const Tensor lengths = empty({size()}, {.dtype = i64});
  all_gather(length, lengths)->wait();

  // Equal parts are all that all_gather knows: everybody's is as long as the longest.
  const std::int64_t* bytes = lengths.data<std::int64_t>();
  const std::int64_t longest = *std::max_element(bytes, bytes + ranks);
  const Tensor part = zeros({longest}, {.dtype = u8});
  const Tensor whole = empty({longest * size()}, {.dtype = u8});
  std::copy(text.begin(), text.end(), part.data<std::uint8_t>());
  all_gather(part, whole)->wait();

  std::vector<std::string> texts;
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    const std::uint8_t* begin =
        whole.data<std::uint8_t>() + static_cast<std::int64_t>(rank) * longest;
    texts.emplace_back(begin, begin + bytes[rank]);
  }
  return texts;
}

WorkPtr SingleProcess::start_all_reduce(const Tensor&, Reduction) {
  return finished();
}

WorkPtr SingleProcess::start_broadcast(const Tensor&, int) {
  return finished();
}

WorkPtr SingleProcess::start_all_gather(const Tensor& part, const Tensor& whole) {
  const NoGradGuard no_grad;
  whole.copy_(part.reshape(whole.shape()));
  return finished();
}

WorkPtr SingleProcess::start_reduce_scatter(const Tensor& whole, const Tensor& part, Reduction) {
  const NoGradGuard no_grad;
  part.copy_(whole.reshape(part.shape()));
  return finished();
}

}  // namespace minidl
