// Compares softcap with minidl's own tanh, forward and backward, on the CPU and, if there is one,
// on a GPU. Exits with 0 if they agree.
#include <minidl/minidl.h>

#include <cstdio>

#include "softcap.h"

namespace dl = minidl;

namespace {

// The largest difference between results and gradients of softcap and of the same in known ops.
double difference(const dl::Device& device, dl::DType dtype) {
  const dl::Tensor data = (dl::randn({300, 7}) * 40).to(device, dtype);
  const dl::Tensor weight = dl::randn({7, 300}).to(device, dtype);
  const auto run = [&](auto&& function) {
    const dl::Tensor x = data.clone().set_requires_grad();
    const dl::Tensor y = function(x.t());  // not contiguous
    (y * weight).sum().backward();
    return dl::cat({y.detach().flatten(), x.grad().flatten()}, 0);
  };
  const dl::Tensor ours = run([](const dl::Tensor& x) { return softcap(x, 30); });
  const dl::Tensor theirs = run([](const dl::Tensor& x) { return dl::tanh(x / 30) * 30; });
  return (ours - theirs).abs().max().item();
}

bool agrees(const dl::Device& device) {
  const double f32 = difference(device, dl::f32), f64 = difference(device, dl::f64);
  std::printf("%s: off by %.1e in f32, %.1e in f64\n", dl::to_string(device).c_str(), f32, f64);
  return f32 < 1e-4 && f64 < 1e-12;
}

// The GPU, or the CPU where there is none.
dl::Device second_device() {
  try {
    return dl::Device::cuda();
  } catch (const dl::Error& error) {
    std::printf("no GPU: %s\n", error.what());
    return dl::cpu;
  }
}

}  // namespace

int main() {
  try {
    const bool good = agrees(dl::cpu) && agrees(second_device());
    std::puts(good ? "all is well" : "FAILED");
    return good ? 0 : 1;
  } catch (const dl::Error& error) {
    std::printf("FAILED: %s\n", error.what());
    return 1;
  }
}
