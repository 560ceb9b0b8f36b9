#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "minidl/core/autocast.h"
#include "minidl/core/autograd/checkpoint.h"
#include "minidl/core/grad_mode.h"
#include "minidl/core/op.h"
#include "minidl/core/ops/batch_norm.h"
#include "minidl/core/ops/comparison.h"
#include "minidl/core/ops/conv.h"
#include "minidl/core/ops/conv_transpose.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/functions.h"
#include "minidl/core/ops/group_norm.h"
#include "minidl/core/ops/layer_norm.h"
#include "minidl/core/ops/loss.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/core/ops/pool.h"
#include "minidl/core/ops/reduce.h"
#include "minidl/core/ops/scan.h"
#include "minidl/core/ops/shape.h"
#include "minidl/core/ops/softmax.h"
#include "minidl/kernels/cpu/onednn.h"
#include "tests/catch.h"
#include "tests/default_device.h"

using namespace minidl;
using namespace minidl::test;

namespace {

Tensor numbers(const Shape& shape, DType dtype = f32) {
  return rand(shape).to(dtype) + 0.5;
}

struct Rule {
  const char* name;
  std::function<Tensor(const Tensor& x)> run;  // x is [2, 4, 4, 4]
  bool only_on_cpu = false;                    // there is no CUDA kernel yet
};

Tensor weights(DType dtype) {
  return numbers({4, 4, 1, 1}, dtype);
}

// Counts the conversions that run while it lives.
class Casts final : public OpObserver {
 public:
  void on_op(const std::shared_ptr<const Op>& op, const Tensors& /*inputs*/,
             const Tensors& /*outputs*/) override {
    if (std::string(op->name()) == "to") ++count;
  }
  int count = 0;
};

}  // namespace

TEST_CASE("autocast: products are computed in 16 bits", "[autocast]") {
  const Rule rule = GENERATE(values<Rule>(
      {{"matmul", [](const Tensor& x) { return matmul(x, x); }},
       {"linear",
        [](const Tensor& x) {
          return linear(x, numbers({3, 4}), numbers({3}));
        }},
       {"conv2d", [](const Tensor& x) { return conv2d(x, weights(f32), numbers({4})); }},
       {"conv_transpose2d", [](const Tensor& x) { return conv_transpose2d(x, weights(f32)); }}}));
  const DType dtype = GENERATE(bf16, f16);
  CAPTURE(rule.name, name(dtype));
  const Tensor x = numbers({2, 4, 4, 4});
  const Autocast amp(dtype);
  CHECK(rule.run(x).dtype() == dtype);
  CHECK(rule.run(x.to(dtype)).dtype() == dtype);
  CHECK(rule.run(x.to(dtype == bf16 ? f16 : bf16)).dtype() == dtype);
}

TEST_CASE("autocast: what needs range or digits is computed in f32", "[autocast]") {
  const Rule rule = GENERATE(values<Rule>(
      {{"softmax", [](const Tensor& x) { return softmax(x, 1); }},
       {"log_softmax", [](const Tensor& x) { return log_softmax(x, 1); }},
       {"exp", [](const Tensor& x) { return exp(x); }},
       {"log", [](const Tensor& x) { return log(x); }},
       {"pow", [](const Tensor& x) { return pow(x, 3); }},
       {"sum", [](const Tensor& x) { return x.sum(); }},
       {"cumsum", [](const Tensor& x) { return cumsum(x, 1); }, true},
       {"layer_norm", [](const Tensor& x) { return layer_norm(x, {4}, ones({4}), ones({4})); }},
       {"group_norm", [](const Tensor& x) { return group_norm(x, 2, ones({4}), ones({4})); }, true},
       {"mse_loss", [](const Tensor& x) { return mse_loss(x, x * 2); }},
       {"cross_entropy",
        [](const Tensor& x) { return cross_entropy(x.flatten(1), zeros({2}, {.dtype = i64})); }}}));
  const DType dtype = GENERATE(bf16, f16, f32);
  CAPTURE(rule.name, name(dtype));
  if (rule.only_on_cpu && !default_device().is_cpu()) return;
  const Autocast amp(bf16);
  CHECK(rule.run(numbers({2, 4, 4, 4}, dtype)).dtype() == f32);
}

TEST_CASE("autocast: the rest keeps the dtype that arrives", "[autocast]") {
  const Rule rule =
      GENERATE(values<Rule>({{"relu", [](const Tensor& x) { return relu(x); }},
                             {"add", [](const Tensor& x) { return x + x; }},
                             {"mean",
                              [](const Tensor& x) {
                                return x.mean({2, 3});
                              }},
                             {"max_pool2d", [](const Tensor& x) { return max_pool2d(x, {}); }},
                             {"reshape",
                              [](const Tensor& x) {
                                return x.reshape({8, 16});
                              }},
                             {"batch_norm", [](const Tensor& x) {
                                return batch_norm_training(x, ones({4}), zeros({4}), 1e-5).y;
                              }}}));
  const DType dtype = GENERATE(bf16, f16, f32);
  CAPTURE(rule.name, name(dtype));
  const Autocast amp(bf16);
  CHECK(rule.run(numbers({2, 4, 4, 4}, dtype)).dtype() == dtype);
}

TEST_CASE("autocast: scopes nest, and f64 takes no part", "[autocast]") {
  const Tensor x = numbers({2, 2});
  CHECK(autocast_dtype() == f32);
  {
    const Autocast amp;
    CHECK(matmul(x, x).dtype() == bf16);
    CHECK(matmul(x.to(f64), x.to(f64)).dtype() == f64);
    {
      const Autocast off(f32);
      CHECK(matmul(x, x).dtype() == f32);
      const Autocast half(f16);
      CHECK(matmul(x, x).dtype() == f16);
    }
    CHECK(matmul(x, x).dtype() == bf16);
  }
  const Autocast disabled(bf16, false);
  CHECK(matmul(x, x).dtype() == f32);
  CHECK_THROWS_WITH(Autocast(f64), Contains("must be bf16 or f16") && Contains("not f64"));
}

TEST_CASE("autocast: parameters get f32 gradients close to those without it", "[autocast]") {
  const Tensor x = numbers({8, 16});
  const Tensor weight = (rand({16, 16}) - 0.5).set_requires_grad();
  const auto loss = [&] {
    return square(softmax(linear(relu(linear(x, weight)), weight), 1)).sum();
  };
  loss().backward();
  const Tensor expected = weight.grad().clone();
  weight.zero_grad();
  Tensor lower;
  {
    const Autocast amp(bf16);
    lower = loss();
  }
  CHECK(lower.dtype() == f32);
  lower.backward();
  CHECK(weight.grad().dtype() == f32);
  CHECK(allclose(weight.grad(), expected, 0.1, 0.02 * abs(expected).amax().item()));
}

TEST_CASE("autocast: a parameter is cast once while it stays as it is", "[autocast]") {
  const Tensor x = numbers({4, 4}, bf16);
  const Tensor weight = rand({4, 4}).set_requires_grad();
  Casts casts;
  {
    const Autocast amp(bf16);
    matmul(x, weight);
    matmul(x, weight);
    CHECK(casts.count == 1);
    {
      const Autocast inner(bf16);
      matmul(x, weight);
    }
    CHECK(casts.count == 1);
    {
      const NoGradGuard no_grad;
      CHECK(!matmul(x, weight).requires_grad());
      weight.add_(ones({4, 4}));
    }
    CHECK(casts.count == 1);
    CHECK(allclose(matmul(ones({1, 4}), weight).to(f32),
                   matmul(ones({1, 4}), weight.detach().to(bf16)).to(f32)));
    CHECK(casts.count >= 2);
  }
  const int before = casts.count;
  const Autocast amp(bf16);
  matmul(x, weight);
  CHECK(casts.count == before + 1);
}

TEST_CASE("autocast: a copy made without recording does not cut the tape", "[autocast]") {
  const Tensor x = numbers({4, 4}, bf16);
  const Tensor weight = rand({4, 4}).set_requires_grad();
  const Autocast amp(bf16);
  {
    const NoGradGuard no_grad;
    CHECK(!matmul(x, weight).requires_grad());
  }
  CHECK(matmul(x, weight).requires_grad());
}

TEST_CASE("autocast: backward is the same inside of it and outside", "[autocast]") {
  const Tensor x = numbers({4, 4});
  const Tensor weight = rand({4, 4}).set_requires_grad();
  const auto run = [&](bool inside) {
    weight.zero_grad();
    auto amp = std::make_unique<Autocast>(bf16);
    const Tensor loss = exp(matmul(x, weight)).sum();
    if (!inside) amp.reset();
    loss.backward();
    return weight.grad().clone();
  };
  CHECK(equal(run(true), run(false)));
}

TEST_CASE("autocast: a checkpoint is run again in the precision of the first time", "[autocast]") {
  const Tensor x = numbers({4, 8}).set_requires_grad();
  const Tensor weight = rand({8, 8}).set_requires_grad();
  const auto body = [&](const Tensor& input) {
    return tanh(matmul(tanh(matmul(input, weight)), weight));
  };
  const auto run = [&](bool checkpointed) {
    x.zero_grad();
    weight.zero_grad();
    Tensor loss;
    {
      const Autocast amp(bf16);
      loss = (checkpointed ? checkpoint(body, x) : body(x)).sum();
    }
    loss.backward();
    return std::pair(x.grad().clone(), weight.grad().clone());
  };
  const auto plain = run(false);
  const auto again = run(true);
  CHECK(equal(plain.first, again.first));
  CHECK(equal(plain.second, again.second));
}

TEST_CASE("16 bits: operands of a product are not copied where the CPU multiplies bf16",
          "[autocast]") {
  if (!default_device().is_cpu()) return;
  const Tensor a = numbers({256, 256}, bf16);
  const Tensor image = numbers({4, 32, 32, 32}, bf16).channels_last();
  const Tensor kernel = numbers({32, 32, 3, 3}, bf16).channels_last();
  const std::int64_t copy = a.numel() * 4;
  const auto workspace_of = [](const auto& body) {
    allocator(cpu).reset_peaks();
    body();
    return memory_stats(cpu)[MemoryTag::workspace].peak;
  };
  const std::int64_t product = workspace_of([&] { matmul(a, a); });
  const std::int64_t convolution = workspace_of([&] { conv2d(image, kernel, {}, {.padding = 1}); });
  if (!kernels::cpu::onednn::computes(bf16)) {
    std::cout << "SKIPPED: this CPU has no bf16 instructions; operands are widened\n";
    return;
  }
  CHECK(product < copy);
  CHECK(convolution < image.numel() * 4);
}

TEST_CASE("16 bits: gradient of weights where a stride is longer than the image", "[autocast]") {
  const Tensor x = randn({3, 4, 5, 2}).to(bf16);
  const Tensor start = randn({6, 2, 2, 2}).to(bf16);
  const Tensor coefficients = randn({3, 6, 4, 1}).to(bf16);
  const auto gradient = [&](DType dtype) {
    const Tensor weight = start.detach().to(dtype).clone().set_requires_grad();
    const Conv2dParams params{.stride = {1, 3}, .padding = {0, 1}, .groups = 2};
    conv2d(x.to(dtype), weight, {}, params).backward(coefficients.to(dtype));
    return weight.grad().to(f64);
  };
  CHECK(allclose(gradient(bf16), gradient(f64), 0.02, 0.1));
}
