#include "minidl/core/ops/embedding.h"

#include "minidl/core/op.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/embedding.h"

namespace minidl {
namespace {

// Inputs: indices, weight.
class Embedding final : public Op {
 public:
  explicit Embedding(std::int64_t padding_idx) : padding_idx_(padding_idx) {}
  const char* name() const override { return "embedding"; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    const TensorSpec& indices = in[0];
    const TensorSpec& weight = in[1];
    check(indices.dtype == i64 || indices.dtype == i32,
          "embedding: indices must be i64 or i32, not {}; use .to(dl::i64)", indices.dtype);
    check(weight.dim() == 2, "embedding: the weight must be [V, D], not {}", weight.shape);
    Shape shape = indices.shape;
    shape.push_back(weight.shape[1]);
    return {weight.with_shape(shape)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::embedding_forward(ctx, in[1], in[0], out[0]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override { return {.inputs = 1}; }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const TensorSpec& weight = ctx.input_spec(1);
    const Tensor dweight = empty_strided(weight.shape, strides_like(weight.shape, weight.strides),
                                         {.dtype = weight.dtype, .device = weight.device});
    ExecContext exec = context_for(dweight);
    kernels::embedding_backward(exec, grads[0].view(), ctx.input(0).view(), padding_idx_,
                                dweight.view());
    return {{}, dweight};
  }

 private:
  std::int64_t padding_idx_;
};

}  // namespace

Tensor embedding(const Tensor& indices, const Tensor& weight,
                 std::optional<std::int64_t> padding_idx) {
  if (!padding_idx) return apply_op<Embedding>({indices, weight}, -1);
  const std::int64_t rows = weight.size(0);
  check(*padding_idx >= -rows && *padding_idx < rows,
        "embedding: padding_idx is {}, but the weight has {} rows", *padding_idx, rows);
  return apply_op<Embedding>({indices, weight}, *padding_idx + (*padding_idx < 0 ? rows : 0));
}

}  // namespace minidl
