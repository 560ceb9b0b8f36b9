// Soft thresholding, sign(x) max(|x| - t, 0), as an op of its own: checked, then used to denoise.
//   cmake -B build -DCMAKE_PREFIX_PATH=DIR && cmake --build build && build/soft_threshold
#include <minidl/minidl.h>

#include <cstdio>
namespace dl = minidl;

struct SoftThreshold final : dl::Op {
  const char* name() const override { return "soft_threshold"; }
  dl::TensorSpecs infer(std::span<const dl::TensorSpec> in) const override {
    if (!in[0].device.is_cpu()) throw dl::Error("soft_threshold: only the CPU has it");
    return {in[0].with_shape(in[0].shape)};
  }
  void compute(dl::ExecContext& /*ctx*/, dl::Views in, dl::Views out) const override {
    dl::visit_float(name(), in[0].dtype, [&]<typename T>(T zero) {
      const T *x = in[0].ptr<T>(), *t = in[1].ptr<T>();
      T* y = out[0].ptr<T>();
      for (std::int64_t i = 0; i < in[0].numel(); ++i)
        y[i] = x[i] > t[i] ? x[i] - t[i] : x[i] < -t[i] ? x[i] + t[i] : zero;
    });
  }
  dl::Saves saves(const std::vector<bool>& /*needs*/) const override { return {.outputs = 1}; }
  dl::Tensors backward(const dl::BackwardContext& ctx, const dl::Tensors& grads) const override {
    return {grads[0] * dl::abs(dl::sign(ctx.output(0))), -grads[0] * dl::sign(ctx.output(0))};
  }
  static dl::Tensor apply(const dl::Tensor& x, const dl::Tensor& t) {  // t broadcasts
    return dl::apply_op<SoftThreshold>({x.contiguous(), t.expand_as(x).contiguous()});
  }
};

struct Denoiser : dl::nn::Module<Denoiser> {
  dl::Tensor threshold = register_parameter("threshold", dl::full({16}, 0.1));
  dl::nn::Linear fc{*this, "fc", {.in = 16, .out = 16}};
  dl::Tensor forward(const dl::Tensor& x) { return fc(SoftThreshold::apply(x, threshold)); }
};

int main() {
  dl::manual_seed(1);
  const dl::Tensor x = dl::randn({50}, {.dtype = dl::f64, .requires_grad = true});
  const dl::Tensor t = dl::rand({50}, {.dtype = dl::f64, .requires_grad = true});
  const auto f = [&](double a, double b) { return dl::exp(SoftThreshold::apply(x + a, t + b)); };
  const auto slope = [&](double a, double b) { return (f(a, b) - f(-a, -b)) / 2e-5; };
  f(0, 0).sum().backward();
  const bool right = allclose(x.grad(), slope(1e-5, 0)) && allclose(t.grad(), slope(0, 1e-5));
  const dl::Tensor clean = dl::where(dl::rand({512, 16}) < 0.2, 3 * dl::randn({512, 16}), 0);
  const dl::Tensor noisy = clean + 0.5 * dl::randn({512, 16});
  Denoiser net;
  dl::optim::AdamW optimizer(net.parameters(), {.lr = 2e-2});
  const auto loss = [&] { return dl::mse_loss(net(noisy), clean); };
  const double before = loss().item();
  for (int step = 0; step < 200; ++step) {
    optimizer.zero_grad();
    loss().backward();
    optimizer.step();
  }
  const double after = loss().item();
  std::printf("gradients %s, loss %.3f -> %.3f\n", right ? "right" : "wrong", before, after);
  return right && after < before / 4 ? 0 : 1;
}
