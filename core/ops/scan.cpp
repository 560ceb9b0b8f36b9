#include "minidl/core/ops/scan.h"

#include "minidl/core/op.h"
#include "minidl/core/ops/attributes.h"
#include "minidl/kernels/scan.h"

namespace minidl {
namespace {

class Cumsum final : public Op {
 public:
  Cumsum(int dim, bool reverse) : dim_(dim), reverse_(reverse) {}
  const char* name() const override { return "cumsum"; }
  std::string attributes() const override {
    return Attributes().add("dim", dim_).add("reverse", reverse_, false).text();
  }
  AutocastRule autocast() const override { return AutocastRule::full_precision; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    return {elementwise_spec(name(), in)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::cumsum(ctx, in[0], dim_, reverse_, out[0]);
  }
  Tensors backward(const BackwardContext& /*ctx*/, const Tensors& grads) const override {
    return {apply_op<Cumsum>({grads[0]}, dim_, !reverse_)};
  }

 private:
  int dim_;
  bool reverse_;
};

class Cumprod final : public Op {
 public:
  explicit Cumprod(int dim) : dim_(dim) {}
  const char* name() const override { return "cumprod"; }
  std::string attributes() const override { return Attributes().add("dim", dim_).text(); }
  AutocastRule autocast() const override { return AutocastRule::full_precision; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    return {elementwise_spec(name(), in)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::cumprod(ctx, in[0], dim_, out[0]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override { return {.inputs = 1}; }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const Tensor x = ctx.input(0);
    const Tensor dx = empty_like(x);
    ExecContext exec = context_for(x);
    kernels::cumprod_backward(exec, grads[0].view(), x.view(), dim_, dx.view());
    return {dx};
  }

 private:
  int dim_;
};

// A scalar is its own running sum and product.
template <class O, class... Args>
Tensor scan(const char* name, const Tensor& x, std::int64_t dim, Args... args) {
  const Tensor numbers = x.is_floating_point() ? x : x.to(i64);
  if (x.dim() == 0) {
    normalize_dim(name, dim, 1);
    return apply_op<O>({numbers.reshape({1})}, 0, args...).reshape({});
  }
  return apply_op<O>({numbers}, normalize_dim(name, dim, x.dim()), args...);
}

}  // namespace

Tensor cumsum(const Tensor& x, std::int64_t dim) {
  return scan<Cumsum>("cumsum", x, dim, /*reverse=*/false);
}

Tensor cumprod(const Tensor& x, std::int64_t dim) {
  return scan<Cumprod>("cumprod", x, dim);
}

}  // namespace minidl
