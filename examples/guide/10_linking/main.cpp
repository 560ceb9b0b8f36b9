// The program of docs/guide/10-linking.md.

#include <minidl/minidl.h>

#include <cstdio>
namespace dl = minidl;

int main() {
  try {
    const dl::Device device = dl::Device::best();
    if (device.is_cpu()) std::fprintf(stderr, "on the CPU: %s\n", dl::why_not_cuda().c_str());
    dl::set_num_threads(2);

    dl::nn::Linear net({.in = 3, .out = 1});
    net.to(device);
    net.eval();
    const dl::NoGradGuard no_grad;
    const dl::Tensor y = net(dl::ones({2, 3}, {.device = device}));
    std::printf("%s\n", dl::to_string(y.shape()).c_str());
    return 0;
  } catch (const dl::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
