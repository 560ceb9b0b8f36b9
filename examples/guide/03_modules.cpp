// The program of docs/guide/03-modules.md.

#include <minidl/minidl.h>

#include <cstdio>
#include <iostream>
#include <tuple>
namespace dl = minidl;
namespace nn = minidl::nn;

namespace {

struct Mlp : nn::Module<Mlp> {
  nn::Linear fc1{*this, "fc1", {.in = 4, .out = 8}};
  nn::Dropout dropout{*this, "dropout", 0.1};
  nn::Linear fc2{*this, "fc2", {.in = 8, .out = 3}};

  dl::Tensor forward(const dl::Tensor& x) { return fc2(dropout(dl::relu(fc1(x)))); }
};

void using_it() {
  Mlp net;
  const dl::Tensor logits = net(dl::randn({5, 4}));
  std::cout << describe(logits) << "\n";
  for (const auto& [name, tensor] : net.named_parameters()) {
    std::printf("%-10s %s\n", name.c_str(), dl::to_string(tensor.shape()).c_str());
  }
  std::cout << net.parameter_count() << " parameters\n";
}

// A module with options of its own, a parameter, a buffer and two results.
struct ScaledOptions {
  std::int64_t features = 0;
  double start = 1;
};

struct Scaled : nn::Module<Scaled> {
  explicit Scaled(const ScaledOptions& options)
      : linear(*this, "linear", {.in = options.features, .out = options.features}),
        scale(register_parameter("scale", dl::full({options.features}, options.start))),
        calls(register_buffer("calls", dl::zeros({}, {.dtype = dl::i64}))) {}
  Scaled(nn::ModuleBase& parent, std::string_view name, const ScaledOptions& options)
      : Scaled(options) {
    parent.register_module(name, *this);
  }

  std::tuple<dl::Tensor, dl::Tensor> forward(const dl::Tensor& x, double factor) {
    if (training()) calls.add_(1);
    const dl::Tensor h = linear(x);
    return {h * scale * factor, h};
  }

  nn::Linear linear;
  dl::Tensor scale;
  dl::Tensor calls;
};

struct Owner : nn::Module<Owner> {
  Scaled scaled{*this, "scaled", {.features = 4, .start = 0.5}};
  dl::Tensor forward(const dl::Tensor& x) {
    const auto [y, h] = scaled(x, 2);
    return y + h;
  }
};

void modes_and_state() {
  Owner net;
  net(dl::randn({2, 4}));
  net.eval();  // dropout passes everything on, batch norm uses its running statistics
  net(dl::randn({2, 4}));
  std::printf("%d call in training mode\n", net.scaled.calls.item<int>());
  for (const dl::NamedTensor& entry : net.state_dict()) std::printf("%s\n", entry.name.c_str());
}

void containers() {
  nn::Sequential net;
  net.append<nn::Conv2d>(nn::Conv2dOptions{.in = 3, .out = 8, .kernel = 3, .padding = 1});
  net.append<nn::BatchNorm2d>(8);
  net.append<nn::ReLU>();
  net.append<nn::AdaptiveAvgPool2d>(1);
  net.append<nn::Flatten>();
  net.append<nn::Linear>(nn::LinearOptions{.in = 8, .out = 10});
  std::cout << nn::summary(net, {1, 3, 32, 32}).to_string();
}

void first_values_and_freezing() {
  Mlp net;
  {
    const dl::NoGradGuard no_grad;
    net.apply([](nn::ModuleBase& module) {
      if (auto* linear = dynamic_cast<nn::Linear*>(&module)) {
        nn::init::kaiming_normal_(linear->weight);
        linear->bias.zero_();
      }
    });
  }
  net.fc1.requires_grad_(false);
  dl::cross_entropy(net(dl::randn({5, 4})), dl::tensor({0, 1, 2, 0, 1})).backward();
  std::printf("fc1 %s, fc2 %s\n", net.fc1.weight.grad().defined() ? "learns" : "is frozen",
              net.fc2.weight.grad().defined() ? "learns" : "is frozen");
}

void module_hooks() {
  Mlp net;
  dl::HookHandle hook = net.fc1.register_forward_hook(
      [](nn::ModuleBase& module, const dl::Tensors& inputs, const dl::Tensors& outputs) {
        std::printf("%s: %s -> %s\n", module.name().c_str(),
                    dl::to_string(inputs[0].shape()).c_str(),
                    dl::to_string(outputs[0].shape()).c_str());
      });
  net(dl::randn({5, 4}));
  hook.remove();
}

void mistakes() {
  Mlp net;
  try {
    net(dl::randn({5, 3}));
  } catch (const dl::Error& error) {
    std::printf("%s\n", error.what());
  }
}

}  // namespace

int main() {
  using_it();
  modes_and_state();
  containers();
  first_values_and_freezing();
  module_hooks();
  mistakes();
}
