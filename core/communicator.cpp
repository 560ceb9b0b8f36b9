#include "minidl/core/communicator.h"

#include <algorithm>

#include "minidl/core/grad_mode.h"
#include "minidl/kernels/common/check.h"

namespace minidl {
namespace {

// How errors call a collective: "all_reduce (gradients of fc.weight)".
std::string title(const char* op, const std::string& purpose) {
  return purpose.empty() ? op : fmt::format("{} ({})", op, purpose);
}

void check_dense(const std::string& op, const Tensor& tensor) {
  check(tensor.defined(), "{}: the tensor is undefined", op);
  if (tensor.is_fake()) fail("{}: {} has no elements", op, describe(tensor));
  check(is_dense(tensor.shape(), tensor.strides()),
        "{}: {} has gaps between its elements (strides {}); pass contiguous() and copy it back", op,
        describe(tensor), tensor.strides());
}

void check_reducible(const std::string& op, const Tensor& tensor, Reduction reduction) {
  const DType dtype = tensor.dtype();
  check(dtype == f32 || dtype == f64 || dtype == i32 || dtype == i64,
        "{}: {} cannot be reduced; f32, f64, i32 and i64 can", op, dtype);
  check(reduction != Reduction::mean || is_floating_point(dtype),
        "{}: the mean of {} is not defined; take the sum", op, dtype);
}

void check_parts(const std::string& op, const Tensor& part, const Tensor& whole, int size) {
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

WorkPtr started(WorkPtr work, const Tensors& tensors) {
  for (const Tensor& tensor : tensors) tensor.storage().add_use(work);
  return work;
}

}  // namespace

WorkPtr Communicator::all_reduce(const Tensor& tensor, Reduction op, const std::string& purpose) {
  const std::string name = title("all_reduce", purpose);
  check_dense(name, tensor);
  check_reducible(name, tensor, op);
  tensor.storage().bump_version("all_reduce");
  return started(start_all_reduce(tensor, op, purpose), {tensor});
}

WorkPtr Communicator::broadcast(const Tensor& tensor, int root, const std::string& purpose) {
  const std::string name = title("broadcast", purpose);
  check_dense(name, tensor);
  check(root >= 0 && root < size(), "{}: there is no rank {} among {}", name, root, size());
  tensor.storage().bump_version("broadcast");
  return started(start_broadcast(tensor, root, purpose), {tensor});
}

WorkPtr Communicator::all_gather(const Tensor& part, const Tensor& whole,
                                 const std::string& purpose) {
  check_parts(title("all_gather", purpose), part, whole, size());
  whole.storage().bump_version("all_gather");
  return started(start_all_gather(part, whole, purpose), {part, whole});
}

WorkPtr Communicator::reduce_scatter(const Tensor& whole, const Tensor& part, Reduction op,
                                     const std::string& purpose) {
  const std::string name = title("reduce_scatter", purpose);
  check_parts(name, part, whole, size());
  check_reducible(name, part, op);
  part.storage().bump_version("reduce_scatter");
  return started(start_reduce_scatter(whole, part, op, purpose), {whole, part});
}

void Communicator::barrier(const std::string& purpose) {
  all_reduce(zeros({1}, {.dtype = i32, .device = cpu}), Reduction::sum,
             purpose.empty() ? "barrier" : "barrier: " + purpose)
      ->wait();
}

std::vector<std::string> Communicator::all_gather_text(const std::string& text,
                                                       const std::string& purpose) {
  const auto ranks = static_cast<std::size_t>(size());
  const TensorOptions numbers{.dtype = i64, .device = cpu};
  const Tensor length = full({1}, static_cast<double>(text.size()), numbers);
  const Tensor lengths = empty({size()}, numbers);
  all_gather(length, lengths, purpose)->wait();

  // Equal parts are all that all_gather knows: everybody's is as long as the longest.
  const std::int64_t* bytes = lengths.data<std::int64_t>();
  const std::int64_t longest = *std::max_element(bytes, bytes + ranks);
  const TensorOptions letters{.dtype = u8, .device = cpu};
  const Tensor part = zeros({longest}, letters);
  const Tensor whole = empty({longest * size()}, letters);
  std::copy(text.begin(), text.end(), part.data<std::uint8_t>());
  all_gather(part, whole, purpose)->wait();

  std::vector<std::string> texts;
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    const std::uint8_t* begin =
        whole.data<std::uint8_t>() + static_cast<std::int64_t>(rank) * longest;
    texts.emplace_back(begin, begin + bytes[rank]);
  }
  return texts;
}

WorkPtr SingleProcess::start_all_reduce(const Tensor&, Reduction, const std::string&) {
  return finished();
}

WorkPtr SingleProcess::start_broadcast(const Tensor&, int, const std::string&) {
  return finished();
}

WorkPtr SingleProcess::start_all_gather(const Tensor& part, const Tensor& whole,
                                        const std::string&) {
  const NoGradGuard no_grad;
  whole.copy_(part.reshape(whole.shape()));
  return finished();
}

WorkPtr SingleProcess::start_reduce_scatter(const Tensor& whole, const Tensor& part, Reduction,
                                            const std::string&) {
  const NoGradGuard no_grad;
  part.copy_(whole.reshape(part.shape()));
  return finished();
}

}  // namespace minidl
