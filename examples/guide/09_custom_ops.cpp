// The program of docs/guide/09-custom-ops.md.

#include <minidl/minidl.h>

#include <cmath>
#include <cstdio>
#include <string>
namespace dl = minidl;

namespace {

// softsign(x) = x / (1 + |x|), made of operations that exist.
dl::Tensor composed_softsign(const dl::Tensor& x) {
  return x / (1 + dl::abs(x));
}

// The same as one operation.
class Softsign final : public dl::Op {
 public:
  const char* name() const override { return "softsign"; }

  dl::TensorSpecs infer(std::span<const dl::TensorSpec> in) const override {
    return {in[0].with_shape(in[0].shape)};  // row-major, the dtype and device of the operand
  }

  void compute(dl::ExecContext& ctx, dl::Views in, dl::Views out) const override {
    if (!ctx.device.is_cpu()) throw dl::Error("softsign: only the CPU has this operation");
    dl::visit_float(name(), in[0].dtype, [&](auto zero) {
      using T = decltype(zero);
      const T* x = in[0].ptr<T>();
      T* y = out[0].ptr<T>();
      for (std::int64_t i = 0; i < in[0].numel(); ++i) y[i] = x[i] / (1 + std::abs(x[i]));
    });
  }

  // dy/dx = (1 - |y|)^2, so backward reads the output.
  dl::Saves saves(const std::vector<bool>& /*needs_grad*/) const override { return {.outputs = 1}; }
  dl::Tensors backward(const dl::BackwardContext& ctx, const dl::Tensors& grads) const override {
    return {grads[0] * dl::square(1 - dl::abs(ctx.output(0)))};
  }
};

// `compute` walks its operand flat, so it gets a contiguous one.
dl::Tensor softsign(const dl::Tensor& x) {
  return dl::apply_op<Softsign>({x.contiguous()});
}

// The largest difference between backward and central differences.
double gradient_error(const dl::Tensor& x) {
  x.set_requires_grad();
  (softsign(x) * x.detach()).sum().backward();  // gradients that are not all alike
  const dl::Tensor gradient = x.grad();
  const dl::NoGradGuard no_grad;
  constexpr double kStep = 1e-5;
  const dl::Tensor differences = (softsign(x + kStep) - softsign(x - kStep)) / (2 * kStep) * x;
  return dl::abs(gradient - differences).amax().item();
}

struct Net : dl::nn::Module<Net> {
  dl::nn::Linear fc{*this, "fc", {.in = 3, .out = 2}};
  dl::Tensor forward(const dl::Tensor& x) { return softsign(fc(x)); }
};

void checks() {
  const dl::Tensor x = dl::randn({50}, {.dtype = dl::f64});
  std::printf("same values: %s\n", dl::allclose(softsign(x), composed_softsign(x)) ? "yes" : "no");
  std::printf("gradient: %s\n", gradient_error(x) < 1e-8 ? "right" : "wrong");

  Net net;
  std::printf("%s", dl::trace(net, dl::fake({4, 3})).to_string().c_str());
  try {
    softsign(dl::arange(3));
  } catch (const dl::Error& error) {
    std::printf("%s\n", error.what());
  }
}

}  // namespace

int main() {
  checks();
}
