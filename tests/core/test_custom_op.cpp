// An operation of the user's own, made with public headers only.

#include <string>
#include <vector>

#include "minidl/core/op.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/tensor.h"
#include "minidl/kernels/common/error.h"
#include "minidl/kernels/copy.h"
#include "minidl/kernels/elementwise.h"
#include "minidl/kernels/reduce.h"
#include "tests/catch.h"

using namespace minidl;
using Values = std::vector<double>;

namespace {

// y = scale * x³, and the sum of x beside it.
class Cube : public Op {
 public:
  explicit Cube(double scale) : scale_(scale) {}
  const char* name() const override { return "cube"; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    if (in[0].dtype != f64) throw Error("cube: f64 is needed");
    return {in[0].with_shape(in[0].shape), in[0].with_shape({})};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::binary(ctx, kernels::BinaryOp::mul, in[0], in[0], out[0]);
    kernels::binary(ctx, kernels::BinaryOp::mul, out[0], in[0], out[0]);
    kernels::affine(ctx, out[0], scale_, 0, out[0]);
    const kernels::View sum = out[1].broadcast_to(Dims::filled(in[0].ndim(), 1));
    kernels::reduce(ctx, kernels::ReduceOp::sum, in[0], sum);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override { return {.inputs = 1}; }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const Tensor x = ctx.input(0);
    Tensor dx = zeros_like(x);
    if (grads[0].defined()) dx = dx + grads[0] * x * x * (3 * scale_);
    if (grads[1].defined()) dx = dx + grads[1].expand(x.shape());
    return {dx};
  }

 private:
  double scale_;
};

Tensors cube(const Tensor& x, double scale) {
  return apply_op(std::make_shared<Cube>(scale), {x});
}

// Copies its input; how it goes wrong is up to the test.
enum class Fault { none, no_backward, not_differentiable, shape, dtype, count, unsaved };
class Faulty : public Op {
 public:
  explicit Faulty(Fault fault) : fault_(fault) {}
  const char* name() const override { return "faulty"; }
  bool differentiable() const override { return fault_ != Fault::not_differentiable; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    return {in[0].with_shape(in[0].shape)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::copy(ctx, in[0], out[0]);
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    switch (fault_) {
      case Fault::shape: return {ones({7}, {.dtype = f64})};
      case Fault::dtype: return {grads[0].to(f32)};
      case Fault::count: return {grads[0], grads[0]};
      case Fault::unsaved: return {ctx.input(0)};
      case Fault::none: return {grads[0]};
      default: return Op::backward(ctx, grads);
    }
  }

 private:
  Fault fault_;
};

// a + b where b may be left out.
class OptionalAdd : public Op {
 public:
  const char* name() const override { return "optional_add"; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    return {in[0].with_shape(in[0].shape)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::copy(ctx, in[0], out[0]);
    if (in[1].defined) kernels::axpy(ctx, 1, in[1], out[0]);
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    CHECK(ctx.inputs() == 2);
    Tensors result(2);
    for (int i = 0; i < 2; ++i) {
      if (ctx.needs_grad(i)) result[static_cast<std::size_t>(i)] = grads[0];
    }
    return result;
  }
};

Tensor leaf(const Values& values) {
  return tensor(values, {static_cast<std::int64_t>(values.size())},
                {.dtype = f64, .requires_grad = true});
}

}  // namespace

TEST_CASE("custom op: forward and backward of several outputs", "[custom_op]") {
  struct Row {
    std::string label;
    bool first, second;
    Values gradient;
  };
  for (const Row& row : {Row{"both", true, true, {7, 25}}, Row{"first only", true, false, {6, 24}},
                         Row{"second only", false, true, {1, 1}}}) {
    INFO(row.label);
    const Tensor x = leaf({1, 2});
    const Tensors y = cube(x, 2.0);
    CHECK(y[0].to_vector() == Values{2, 16});
    CHECK(y[1].item() == 3);
    Tensor loss = scalar(0, {.dtype = f64});
    if (row.first) loss = loss + y[0].sum();
    if (row.second) loss = loss + y[1];
    loss.backward();
    CHECK(x.grad().to_vector() == row.gradient);
  }
}

TEST_CASE("custom op: what infer refuses never runs", "[custom_op]") {
  CHECK_THROWS_WITH(apply_op<Cube>({ones({1})}, 2.0), "cube: f64 is needed");
}

TEST_CASE("custom op: changes in place of what it saved name it", "[custom_op]") {
  const Tensor x = leaf({1, 2});
  const Tensor y = apply_op<Cube>({x}, 1.0).sum();
  x.detach().mul_(2);
  CHECK_THROWS_WITH(y.backward(), Contains("cube: its input 0") && Contains("mul_"));
}

TEST_CASE("custom op: operands may have any strides", "[custom]") {
  const Tensor whole = tensor({1, 2, 3, 4, 5, 6}, {2, 3}, {.dtype = f64});
  CHECK(cube(whole.slice(1, 0, 3, 2), 1.0)[0].to_vector() == Values{1, 27, 64, 216});
  CHECK(cube(whole.t(), 1.0)[0].to_vector() == Values{1, 64, 8, 125, 27, 216});
}

TEST_CASE("custom op: a kernel that takes the elements for something else is stopped", "[custom]") {
  CHECK_THROWS_WITH(ones({2}).view().ptr<double>(), Contains("f64") && Contains("f32"));
}

TEST_CASE("custom op: optional operands", "[custom_op]") {
  const Tensor x = leaf({1});
  const Tensor b = leaf({5});
  apply_op<OptionalAdd>({x, Tensor()}).backward();
  CHECK(x.grad().item() == 1);
  const Tensor sum = apply_op<OptionalAdd>({x, b});
  CHECK(sum.item() == 6);
  sum.backward();
  CHECK(b.grad().item() == 1);
  CHECK_THROWS_WITH(apply_op<OptionalAdd>({Tensor(), Tensor()}),
                    Contains("optional_add: no operand is defined"));
}

TEST_CASE("custom op: mistakes in backward are reported with the op's name", "[custom_op]") {
  struct Row {
    Fault fault;
    std::string text;
  };
  for (const Row& row :
       {Row{Fault::shape, "backward of faulty: returned a gradient f64[7] for input 0"},
        Row{Fault::dtype, "backward of faulty: returned a gradient f32[2] for input 0"},
        Row{Fault::count, "backward of faulty: returned 2 gradients for 1 inputs"},
        Row{Fault::unsaved, "faulty: backward reads its input 0, which saves() did not name"},
        Row{Fault::no_backward, "faulty has no backward"}}) {
    INFO(row.text);
    const Tensor y = apply_op<Faulty>({leaf({1, 2})}, row.fault).sum();
    CHECK_THROWS_WITH(y.backward(), Contains(row.text));
  }
}

TEST_CASE("custom op: is recorded if differentiable", "[custom_op]") {
  CHECK(apply_op<Faulty>({leaf({1})}, Fault::none).requires_grad());
  CHECK_FALSE(apply_op<Faulty>({leaf({1})}, Fault::not_differentiable).requires_grad());
}

TEST_CASE("custom op: outputs can be declared without gradient", "[custom_op]") {
  class TwoOutputs : public Faulty {
   public:
    TwoOutputs() : Faulty(Fault::none) {}
    TensorSpecs infer(std::span<const TensorSpec> in) const override {
      TensorSpec constant = in[0].with_shape({1});
      constant.differentiable = false;
      return {in[0].with_shape(in[0].shape), constant, in[0].with_shape({1}).with_dtype(i64)};
    }
  };
  const Tensors y = apply_op(std::make_shared<TwoOutputs>(), {leaf({1})});
  CHECK(y[0].requires_grad());
  CHECK_FALSE(y[1].requires_grad());
  CHECK_FALSE(y[2].requires_grad());
}
