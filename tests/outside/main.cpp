// A program that knows minidl only from outside: it brings an operation and a module of its own,
// checks its gradients and trains. Exits with 0 if all went well.

#include <minidl/minidl.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
namespace dl = minidl;

namespace app {

// Snake (Ziyin et al. 2020): x + sin(a x)^2 / a, an activation for what is periodic. Beside it
// comes the derivative, 1 + sin(2 a x), which is all that backward needs.
class Snake final : public dl::Op {
 public:
  explicit Snake(double a) : a_(a) {}
  const char* name() const override { return "snake"; }
  std::string attributes() const override { return "a " + std::to_string(a_); }

  dl::TensorSpecs infer(std::span<const dl::TensorSpec> in) const override {
    const dl::TensorSpec y = in[0].with_shape(in[0].shape);
    dl::TensorSpec slope = y;
    slope.differentiable = false;
    return {y, slope};
  }

  void compute(dl::ExecContext& /*ctx*/, dl::Views in, dl::Views out) const override {
    dl::visit_float(name(), in[0].dtype, [&](auto zero) {
      using T = decltype(zero);
      const T* x = in[0].ptr<T>();
      T* y = out[0].ptr<T>();
      T* slope = out[1].ptr<T>();
      const auto a = static_cast<T>(a_);
      for (std::int64_t i = 0; i < in[0].numel(); ++i) {
        const T sine = std::sin(a * x[i]);
        y[i] = x[i] + sine * sine / a;
        slope[i] = 1 + std::sin(2 * a * x[i]);
      }
    });
  }

  dl::Saves saves(const std::vector<bool>& /*needs_grad*/) const override { return {.outputs = 2}; }
  dl::Tensors backward(const dl::BackwardContext& ctx, const dl::Tensors& grads) const override {
    return {grads[0] * ctx.output(1)};
  }

 private:
  double a_;
};

// `compute` walks its operand flat, so it gets a contiguous one.
dl::Tensor snake(const dl::Tensor& x, double a) {
  return dl::apply_op<Snake>({x.contiguous()}, a);
}

// What the module returns: a struct in a struct. visit_leaves shows minidl the tensors inside.
struct Features {
  dl::Tensor first;
  dl::Tensor second;
};
struct Estimate {
  dl::Tensor value;
  Features features;
};

void visit_leaves(Features& features, const dl::nn::LeafVisitor& visit) {
  dl::nn::visit_all(visit, features.first, features.second);
}
void visit_leaves(Estimate& estimate, const dl::nn::LeafVisitor& visit) {
  dl::nn::visit_all(visit, estimate.value, estimate.features);
}

struct WaveNet : dl::nn::Module<WaveNet> {
  dl::nn::Linear fc1{*this, "fc1", {.in = 1, .out = 16}};
  dl::nn::Linear fc2{*this, "fc2", {.in = 16, .out = 16}};
  dl::nn::Linear head{*this, "head", {.in = 16, .out = 1}};

  Estimate forward(const dl::Tensor& x) {
    const dl::Tensor first = snake(fc1(x), 2);
    const dl::Tensor second = snake(fc2(first), 2);
    return {.value = head(second), .features = {first, second}};
  }
};

dl::Tensor squared_error(WaveNet& net, const dl::Tensor& x, const dl::Tensor& y) {
  return dl::pow(net(x).value - y, 2).mean();
}

// The largest difference between backward and finite differences, over all parameters; in f64.
double gradient_error(const dl::Tensor& x, const dl::Tensor& y) {
  WaveNet net;
  net.to(dl::f64);
  squared_error(net, x, y).backward();
  const dl::NoGradGuard no_grad;
  double largest = 0;
  for (const auto& [name, parameter] : net.named_parameters()) {
    const std::vector<double> gradient = parameter.grad().to_vector();
    auto* element = parameter.data<double>();
    for (const double actual : gradient) {
      constexpr double kStep = 1e-5;
      const double kept = *element;
      *element = kept + kStep;
      const double above = squared_error(net, x, y).item();
      *element = kept - kStep;
      const double below = squared_error(net, x, y).item();
      *element++ = kept;
      largest = std::max(largest, std::abs(actual - (above - below) / (2 * kStep)));
    }
  }
  return largest;
}

bool run() {
  dl::manual_seed(1);
  const dl::Tensor x = dl::rand({128, 1}) * 6 - 3;
  dl::Tensor y = dl::empty_like(x);
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    y.data<float>()[i] = std::sin(4 * x.data<float>()[i]);
  }

  const double error = gradient_error(x.to(dl::f64), y.to(dl::f64));
  std::printf("gradients: off by %.1e at most\n", error);

  WaveNet net;
  std::size_t leaves = 0;
  dl::HookHandle hook =
      net.register_forward_hook([&leaves](dl::nn::ModuleBase&, const dl::Tensors&,
                                          const dl::Tensors& outputs) { leaves = outputs.size(); });
  const dl::Graph graph = dl::trace(net, dl::fake({128, 1}));
  hook.remove();
  std::printf("%s", graph.to_string().c_str());

  dl::optim::AdamW adamw(net.parameters(), {.lr = 1e-2});
  const double before = squared_error(net, x, y).item();
  for (int step = 0; step < 200; ++step) {
    adamw.zero_grad();
    squared_error(net, x, y).backward();
    adamw.step();
  }
  const double after = squared_error(net, x, y).item();
  std::printf("loss: %.4f before training, %.4f after\n", before, after);
  return error < 1e-7 && leaves == 3 && graph.outputs.size() == 3 && after < before / 4;
}

}  // namespace app

int main() {
  try {
    const bool good = app::run();
    std::puts(good ? "all is well" : "FAILED");
    return good ? 0 : 1;
  } catch (const dl::Error& error) {
    std::printf("FAILED: %s\n", error.what());
    return 1;
  }
}
