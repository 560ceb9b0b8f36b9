// The program of docs/guide/07-precision.md.

#include <minidl/minidl.h>

#include <cstdio>
#include <iostream>
namespace dl = minidl;

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

}  // namespace

int main() {
  conversion();
  promotion();
  products_do_not_convert();
  models();
  storing();
}
