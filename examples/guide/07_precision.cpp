// The program of docs/guide/07-precision.md.

#include <minidl/minidl.h>

#include <cstdio>
#include <iostream>
namespace dl = minidl;
namespace nn = minidl::nn;

namespace {

void conversion() {
  const dl::Tensor x = dl::tensor({1.0, 0.1, 70000.0});
  std::cout << x.to(dl::bf16) << "\n" << x.to(dl::f16) << "\n";
  const dl::Tensor pixels = dl::tensor({0, 127, 255}, {.dtype = dl::u8});
  std::cout << pixels.to(dl::f32) / 255 << "\n";
}

void promotion() {
  const dl::Tensor whole = dl::ones({2}, {.dtype = dl::i64});
  const dl::Tensor narrow = dl::ones({2});
  const dl::Tensor wide = dl::ones({2}, {.dtype = dl::f64});
  std::cout << describe(whole + narrow) << "\n";  // floating point beats integers
  std::cout << describe(narrow + wide) << "\n";   // the wider one wins
  std::cout << describe(narrow * 0.1) << "\n";    // a number changes no floating-point dtype
  std::cout << describe(whole * 0.5) << "\n";     // but an integer one where it must
  std::cout << describe(whole / whole) << "\n";
  std::cout << describe((whole == 1).sum()) << "\n";
}

void products_do_not_convert() {
  try {
    matmul(dl::ones({2, 2}), dl::ones({2, 2}, {.dtype = dl::f64}));
  } catch (const dl::Error& error) {
    std::printf("%s\n", error.what());
  }
}

void sixteen_bits() {
  const dl::Tensor x = dl::ones({2, 2}, {.dtype = dl::bf16});
  std::cout << describe(matmul(x, x)) << "\n";
  std::cout << describe(x + dl::ones({2})) << "\n";  // meets f32 there
}

void models() {
  dl::nn::Linear net({.in = 4, .out = 2});
  net.to(dl::f64);  // parameters and buffers; the optimizer is made afterwards
  const dl::Tensor x = dl::randn({3, 4}, {.dtype = dl::f64});
  std::cout << describe(net(x)) << "\n";
}

void storing() {
  dl::nn::Linear net({.in = 4, .out = 2});
  dl::StateDict half = net.state_dict();
  for (dl::NamedTensor& entry : half) entry.tensor = entry.tensor.to(dl::bf16);
  dl::save_safetensors("half.safetensors", half);
  const dl::nn::LoadReport report = dl::load(net, "half.safetensors");  // converts back
  std::cout << describe(net.weight) << ", " << (report.clean() ? "all loaded" : "not all") << "\n";
}

struct Net : nn::Module<Net> {
  nn::Linear fc1{*this, "fc1", {.in = 2, .out = 32}};
  nn::Linear fc2{*this, "fc2", {.in = 32, .out = 2}};
  dl::Tensor forward(const dl::Tensor& x) { return fc2(dl::tanh(fc1(x))); }
};

void what_autocast_does() {
  Net net;
  const dl::Autocast amp(dl::bf16);
  const dl::Tensor logits = net(dl::randn({4, 2}));
  std::cout << describe(logits) << "\n";                  // a product: bf16
  std::cout << describe(dl::softmax(logits, 1)) << "\n";  // wants digits: f32
  std::cout << describe(net.fc1.weight) << "\n";          // stays as it is
}

// The loss after training on the quadrants of a square.
double train(dl::DType dtype) {
  dl::manual_seed(1);
  const dl::Tensor x = dl::rand({256, 2}) * 2 - 1;
  const dl::Tensor y = (x[{dl::Slice{}, 0}] * x[{dl::Slice{}, 1}] > 0).to(dl::i64);
  Net net;
  dl::optim::AdamW optimizer(net.parameters(), {.lr = 0.02});
  dl::GradScaler scaler({.enabled = dtype == dl::f16});
  dl::Tensor loss;
  for (int step = 0; step < 200; ++step) {
    optimizer.zero_grad();
    {
      const dl::Autocast amp(dtype);  // forward and loss, no more
      loss = dl::cross_entropy(net(x), y);
    }
    scaler.scale(loss).backward();
    scaler.unscale_(optimizer);  // before gradients are limited
    nn::clip_grad_norm_(net.parameters(), 1.0);
    scaler.step(optimizer);  // unless a gradient is infinite or NaN
    scaler.update();
  }
  return loss.item();
}

void training() {
  for (const dl::DType dtype : {dl::f32, dl::bf16, dl::f16}) {
    std::printf("%s: %s\n", name(dtype), train(dtype) < 0.2 ? "learnt" : "not learnt");
  }
}

}  // namespace

int main() {
  conversion();
  promotion();
  products_do_not_convert();
  sixteen_bits();
  models();
  storing();
  what_autocast_does();
  training();
}
