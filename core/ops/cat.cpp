// Joining tensors, and cutting them up again.

#include <algorithm>
#include <utility>

#include "minidl/core/ops/attributes.h"
#include "minidl/core/ops/shape.h"
#include "minidl/core/ops/view_op.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/copy.h"

namespace minidl {
namespace {

class Cat final : public Op {
 public:
  explicit Cat(int dim) : dim_(dim) {}
  const char* name() const override { return "cat"; }
  std::string attributes() const override { return Attributes().add("dim", dim_).text(); }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    Shape shape = in[0].shape;
    shape[dim_] = 0;
    for (const TensorSpec& part : in) {
      Shape expected = in[0].shape;
      if (part.dim() == expected.size()) expected[dim_] = part.shape[dim_];
      check(part.shape == expected, "cat: {} and {} differ outside dimension {}", in[0].shape,
            part.shape, dim_);
      shape[dim_] += part.shape[dim_];
    }
    TensorSpec out = in[0].with_shape(shape);
    // The first dense part with elements decides, one that is more than a slice before those.
    const TensorSpec* leader = nullptr;
    for (const TensorSpec& part : in) {
      if (part.numel() == 0 || !is_dense(part.shape, part.strides)) continue;
      if (leader == nullptr) leader = &part;
      if (part.shape[dim_] > 1) {
        leader = &part;
        break;
      }
    }
    if (leader != nullptr) out.strides = strides_like(shape, leader->shape, leader->strides);
    return {out};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::View target = out[0];
    std::int64_t start = 0;
    for (const kernels::View& part : in) {
      target.shape[dim_] = part.shape[dim_];
      if (part.numel() > 0) {
        target.data = out[0].ptr<char>() +
                      start * out[0].strides[dim_] * static_cast<std::int64_t>(size_of(part.dtype));
        kernels::copy(ctx, part, target);
      }
      start += part.shape[dim_];
    }
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    Tensors result;
    std::int64_t start = 0;
    for (int i = 0; i < ctx.inputs(); ++i) {
      const std::int64_t extent = ctx.input_spec(i).shape[dim_];
      result.push_back(grads[0].slice(dim_, start, start + extent));
      start += extent;
    }
    return result;
  }

 private:
  int dim_;
};

// One view per part. Apart, each of them would give a gradient of the whole tensor's size.
class Split final : public ViewOp {
 public:
  Split(std::vector<std::int64_t> sizes, int dim) : sizes_(std::move(sizes)), dim_(dim) {}
  const char* name() const override { return "split"; }
  std::string attributes() const override {
    return fmt::format("sizes [{}], dim {}", fmt::join(sizes_, ", "), dim_);
  }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    TensorSpecs parts;
    parts.reserve(sizes_.size());
    std::int64_t start = 0;
    for (const std::int64_t size : sizes_) {
      Shape shape = in[0].shape;
      shape[dim_] = size;
      parts.push_back(
          view_spec(in[0], shape, in[0].strides, in[0].offset + start * in[0].strides[dim_]));
      start += size;
    }
    return parts;
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const Tensor full = zero_gradient(ctx.input_spec(0));
    std::int64_t start = 0;
    for (std::size_t i = 0; i < grads.size(); ++i) {
      const Tensor part = full.slice(dim_, start, start + sizes_[i]);
      if (grads[i].defined()) part.copy_(grads[i]);
      start += sizes_[i];
    }
    return {full};
  }

 private:
  std::vector<std::int64_t> sizes_;
  int dim_;
};

}  // namespace

Tensor cat(const Tensors& tensors, std::int64_t dim) {
  check(!tensors.empty(), "cat: no tensors were given");
  DType dtype = tensors[0].dtype();
  for (const Tensor& tensor : tensors) dtype = promote(dtype, tensor.dtype());
  Tensors parts;
  for (const Tensor& tensor : tensors) parts.push_back(tensor.to(dtype));
  return apply_op(std::make_shared<Cat>(normalize_dim("cat", dim, tensors[0].dim())), parts)
      .front();
}

Tensor stack(const Tensors& tensors, std::int64_t dim) {
  check(!tensors.empty(), "stack: no tensors were given");
  const int at = normalize_dim("stack", dim, tensors[0].dim() + 1);
  Tensors rows;
  rows.reserve(tensors.size());
  for (const Tensor& tensor : tensors) {
    check(tensor.shape() == tensors[0].shape(), "stack: shapes {} and {} differ",
          tensors[0].shape(), tensor.shape());
    rows.push_back(tensor.unsqueeze(at));
  }
  return cat(rows, at);
}

Tensors Tensor::split(const std::vector<std::int64_t>& sizes, std::int64_t dim) const {
  const int at = normalize_dim("split", dim, this->dim());
  std::int64_t total = 0;
  for (const std::int64_t size : sizes) {
    check(size >= 0, "split: a part of {} elements", size);
    total += size;
  }
  check(total == size(at), "split: parts of [{}] do not make up dimension {} of shape {}",
        fmt::join(sizes, ", "), at, shape());
  if (sizes.empty()) return {};
  return apply_op(std::make_shared<Split>(sizes, at), {*this});
}

Tensors Tensor::split_evenly(std::int64_t size, std::int64_t dim) const {
  const int at = normalize_dim("split", dim, this->dim());
  std::int64_t rest = this->size(at);
  check(size > 0 || (size == 0 && rest == 0), "split: parts of {} do not make up {} elements", size,
        rest);
  std::vector<std::int64_t> sizes{std::min(size, rest)};
  for (rest -= sizes[0]; rest > 0; rest -= size) sizes.push_back(std::min(size, rest));
  return split(sizes, at);
}

Tensors Tensor::chunk(std::int64_t chunks, std::int64_t dim) const {
  const int at = normalize_dim("chunk", dim, this->dim());
  check(chunks > 0, "chunk: {} parts of shape {} are not possible", chunks, shape());
  if (size(at) > 0) return split_evenly((size(at) - 1) / chunks + 1, at);
  return split(std::vector<std::int64_t>(static_cast<std::size_t>(chunks), 0), at);
}

Tensors Tensor::unbind(std::int64_t dim) const {
  const int at = normalize_dim("unbind", dim, this->dim());
  Tensors parts = split(std::vector<std::int64_t>(static_cast<std::size_t>(size(at)), 1), at);
  for (Tensor& part : parts) part = part.squeeze(at);
  return parts;
}

}  // namespace minidl
