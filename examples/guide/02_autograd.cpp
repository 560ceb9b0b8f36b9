// The program of docs/guide/02-autograd.md.

#include <minidl/minidl.h>

#include <cstdio>
#include <iostream>
namespace dl = minidl;

namespace {

void gradients() {
  const dl::Tensor w = dl::tensor({1.0, 2.0, 3.0}, {.requires_grad = true});
  const dl::Tensor x = dl::tensor({4.0, 5.0, 6.0});
  const dl::Tensor loss = dl::square(w * x).sum();
  loss.backward();
  std::cout << w.grad() << "\n";  // 2 w x^2
}

void accumulation() {
  const dl::Tensor w = dl::ones({2}, {.requires_grad = true});
  (w * 3).sum().backward();
  (w * 4).sum().backward();
  std::cout << w.grad() << "\n";
  w.zero_grad();
  std::printf("%s\n", w.grad().defined() ? "a gradient" : "no gradient");
}

void without_the_tape() {
  const dl::Tensor w = dl::ones({2}, {.requires_grad = true});
  {
    const dl::NoGradGuard no_grad;
    const dl::Tensor y = w * 2;
    std::printf("under the guard: %s\n", y.requires_grad() ? "recorded" : "not recorded");
    w.sub_(0.1);  // in place, as an optimizer does
  }
  const dl::Tensor h = w * 2;
  const dl::Tensor target = h.detach();  // the same memory, no history
  std::printf("detached: %s\n", target.requires_grad() ? "recorded" : "not recorded");
}

void vector_jacobian() {
  const dl::Tensor x = dl::tensor({1.0, 2.0}, {.requires_grad = true});
  const dl::Tensor y = dl::exp(x);  // not a scalar: backward wants to know more
  y.backward(dl::tensor({1.0, 0.0}), /*retain_graph=*/true);
  y.backward(dl::tensor({0.0, 1.0}));  // the graph was kept for this
  std::printf("%s\n", dl::allclose(x.grad(), y) ? "exp is its own derivative" : "wrong");
}

void hooks() {
  const dl::Tensor w = dl::ones({2}, {.requires_grad = true});
  const dl::Tensor h = w * 10;
  dl::HookHandle hook = h.register_hook([](const dl::Tensor& grad) {
    std::printf("the gradient of h has norm %.2f\n", grad.norm().item());
    return dl::clamp(grad, -1, 1);  // goes on in its place; an undefined tensor changes nothing
  });
  (h * 3).sum().backward();
  hook.remove();
  std::cout << w.grad() << "\n";
}

void mistakes() {
  const dl::Tensor w = dl::ones({2}, {.requires_grad = true});
  try {
    const dl::Tensor y = dl::exp(w);
    y.detach().add_(1);  // exp needs its result in backward
    y.sum().backward();
  } catch (const dl::Error& error) {
    std::printf("%s\n", error.what());
  }
  try {
    const dl::Tensor loss = (w * w).sum();
    loss.backward();
    loss.backward();
  } catch (const dl::Error& error) {
    std::printf("%s\n", error.what());
  }
  try {
    const dl::DetectAnomaly detect;
    dl::log(w - 2).sum().backward();
  } catch (const dl::Error& error) {
    std::printf("%s\n", error.what());
  }
}

}  // namespace

int main() {
  gradients();
  accumulation();
  without_the_tape();
  vector_jacobian();
  hooks();
  mistakes();
}
