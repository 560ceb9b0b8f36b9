#include "minidl/core/ops/dropout.h"

#include "minidl/core/op.h"
#include "minidl/core/ops/attributes.h"
#include "minidl/core/ops/random_key.h"
#include "minidl/kernels/common/check.h"

namespace minidl {
namespace {

class Dropout final : public Op {
 public:
  Dropout(double p, kernels::RandomKey key) : p_(p), key_(key) {}
  const char* name() const override { return "dropout"; }
  std::string attributes() const override { return Attributes().add("p", p_).text(); }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    return {elementwise_spec(name(), in)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::dropout(ctx, key_, p_, in[0], out[0]);
  }
  Tensors backward(const BackwardContext& /*ctx*/, const Tensors& grads) const override {
    return {apply_op<Dropout>({grads[0]}, p_, key_)};
  }

 private:
  double p_;
  kernels::RandomKey key_;
};

}  // namespace

Tensor dropout(const Tensor& x, double p, bool training) {
  check(p >= 0 && p <= 1, "dropout: the probability must be between 0 and 1, not {}", p);
  if (!training || p == 0) return x;
  return apply_op<Dropout>({x}, p, next_key({x}));
}

}  // namespace minidl
