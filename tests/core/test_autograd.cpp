// The tape: accumulation, graphs, the order in which they run, and the memory of gradients.

#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "minidl/core/grad_mode.h"
#include "minidl/core/ops/comparison.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/core/ops/softmax.h"
#include "minidl/core/tensor.h"
#include "minidl/kernels/common/error.h"
#include "tests/catch.h"
#include "tests/core/leaf.h"

using namespace minidl;
using test::leaf;
using Values = std::vector<double>;

TEST_CASE("autograd: gradients accumulate until zero_grad", "[autograd]") {
  const Tensor x = leaf({1, 2});
  CHECK_FALSE(x.grad().defined());
  (x * 3).sum().backward();
  CHECK(x.grad().to_vector() == Values{3, 3});
  (x * x).sum().backward();
  CHECK(x.grad().to_vector() == Values{5, 7});
  x.zero_grad();
  CHECK_FALSE(x.grad().defined());
  (x * 3).sum().backward();
  CHECK(x.grad().to_vector() == Values{3, 3});
}

TEST_CASE("autograd: paths through a graph add up", "[autograd]") {
  struct Row {
    std::string label;
    std::function<Tensor(const Tensor&)> run;
    double gradient;  // at x = 2
  };
  const std::vector<Row> rows{
      {"x used twice in one operation", [](const Tensor& x) { return x * x; }, 4},
      {"x + x", [](const Tensor& x) { return x + x; }, 2},
      {"x - x", [](const Tensor& x) { return x - x; }, 0},
      {"diamond", [](const Tensor& x) { return (x * 3) * (x + 1); }, 15},
      {"a result used twice",
       [](const Tensor& x) {
         const Tensor y = x * x;
         return y * y;
       },
       32},
      {"branches of different length", [](const Tensor& x) { return x + ((x * 2) * 2) * 2; }, 9},
      {"a constant branch", [](const Tensor& x) { return x.detach() * x; }, 2},
  };
  for (const Row& row : rows) {
    INFO(row.label);
    const Tensor x = leaf({2});
    row.run(x).backward();
    CHECK(x.grad().item() == row.gradient);
  }
}

TEST_CASE("autograd: results that nothing uses do not matter", "[autograd]") {
  const Tensor x = leaf({2});
  const Tensor used = x * 3;
  const Tensor unused = exp(used);
  used.backward();
  CHECK(x.grad().item() == 3);
  CHECK(unused.requires_grad());
}

TEST_CASE("autograd: backward with a gradient, and from a leaf itself", "[autograd]") {
  const Tensor x = leaf({1, 2});
  (x * 2).backward(tensor({10, 100}, {2}, {.dtype = f64}));
  CHECK(x.grad().to_vector() == Values{20, 200});
  const Tensor single = leaf({5});
  single.backward();
  CHECK(single.grad().item() == 1);
}

TEST_CASE("autograd: the caller's gradient is not written to", "[autograd]") {
  const Tensor x = leaf({1, 2});
  const Tensor gradient = ones({2}, {.dtype = f64});
  x.backward(gradient);
  x.backward(gradient);
  CHECK(gradient.to_vector() == Values{1, 1});
  CHECK(x.grad().to_vector() == Values{2, 2});
}

TEST_CASE("autograd: a freed graph says how to keep it", "[autograd]") {
  const Tensor x = leaf({2});
  const Tensor y = (x * x).sum();
  y.backward();
  CHECK_THROWS_WITH(y.backward(), Contains("already freed") && Contains("retain_graph"));
  const Tensor z = x * x;
  z.backward({}, true);
  CHECK_NOTHROW(z.backward());
  CHECK(x.grad().item() == 12);
  CHECK_THROWS_WITH(z.backward(), Contains("already freed"));
}

TEST_CASE("autograd: double backward is refused", "[autograd]") {
  const Tensor x = leaf({2});
  (x * x).backward();
  CHECK_FALSE(x.grad().requires_grad());
  CHECK_THROWS_WITH(x.grad().backward(), Contains("does not depend on any tensor"));
}

TEST_CASE("autograd: who requires a gradient and who is a leaf", "[autograd]") {
  const Tensor x = leaf({2});
  const Tensor constant = ones({1}, {.dtype = f64});
  CHECK((x * constant).requires_grad());
  CHECK_FALSE((x * constant).is_leaf());
  CHECK_FALSE((constant * constant).requires_grad());
  CHECK((constant * constant).is_leaf());
  CHECK_FALSE(x.detach().requires_grad());
  CHECK_FALSE(x.to(i64).requires_grad());
  CHECK_FALSE(x.argmax(0).requires_grad());
  CHECK_FALSE((x == constant).requires_grad());
  CHECK_THROWS_WITH((x * 2).set_requires_grad(false), Contains("affine") && Contains("detach()"));
}

TEST_CASE("autograd: no-grad guards nest and end", "[autograd]") {
  const Tensor x = leaf({2});
  {
    const NoGradGuard off;
    CHECK_FALSE((x * 2).requires_grad());
    {
      const GradModeGuard on(true);
      CHECK((x * 2).requires_grad());
    }
    CHECK_FALSE(grad_enabled());
  }
  CHECK((x * 2).requires_grad());
}

TEST_CASE("autograd: grad mode belongs to a thread", "[autograd]") {
  const NoGradGuard off;
  bool elsewhere = false;
  std::thread([&] { elsewhere = grad_enabled(); }).join();
  CHECK(elsewhere);
}

TEST_CASE("autograd: grad mode is restored after a backward that throws", "[autograd]") {
  const Tensor x = leaf({2});
  const Tensor y = x * 2;
  y.register_hook([](const Tensor&) -> Tensor { throw Error("broken hook"); });
  CHECK_THROWS_WITH(y.backward(), Contains("backward of affine: broken hook"));
  CHECK(grad_enabled());
}

TEST_CASE("autograd: backward refuses what it cannot do", "[autograd]") {
  const Tensor x = leaf({1, 2});
  CHECK_THROWS_WITH(Tensor().backward(), Contains("does not depend"));
  CHECK_THROWS_WITH(ones({1}).backward(), Contains("does not depend"));
  CHECK_THROWS_WITH((x * 2).backward(), Contains("[2]") && Contains("one-element"));
  CHECK_THROWS_WITH((x * 2).backward(ones({3}, {.dtype = f64})), Contains("f64[3]"));
  CHECK_THROWS_WITH((x * 2).backward(ones({2})), Contains("f32[2]") && Contains("f64[2]"));
}

TEST_CASE("autograd: zero_grad keeps the gradient's memory", "[contract]") {
  const Tensor x = leaf({1, 2});
  (x * 2).sum().backward();
  const void* memory = x.grad().raw_data();
  x.zero_grad();
  (x * 5).sum().backward();
  CHECK(x.grad().raw_data() == memory);
  CHECK(x.grad().to_vector() == Values{5, 5});
  (x * 1).sum().backward();  // without zero_grad between them gradients add up
  CHECK(x.grad().to_vector() == Values{6, 6});
  x.zero_grad();
  CHECK_FALSE(x.grad().defined());
  (x * 1).slice(0, 0, 0).sum().backward();  // a gradient of zeros is there, and valid
  CHECK(x.grad().to_vector() == Values{0, 0});
}

TEST_CASE("autograd: backward writes into the memory it was handed", "[contract]") {
  const Tensor bucket = full({4}, 99, {.dtype = f64});
  const Tensor x = leaf({1, 2});
  x.set_grad_storage(bucket.slice(0, 1, 3));
  CHECK_FALSE(x.grad().defined());
  (x * 7).sum().backward();
  CHECK(bucket.to_vector() == Values{99, 7, 7, 99});
  x.zero_grad();
  (x * 3).sum().backward();
  CHECK(bucket.to_vector() == Values{99, 3, 3, 99});
}

TEST_CASE("autograd: set_grad replaces, drops and checks", "[contract]") {
  const Tensor x = leaf({1, 2});
  x.set_grad(tensor({4, 5}, {2}, {.dtype = f64}));
  CHECK(x.grad().to_vector() == Values{4, 5});
  (x * 2).sum().backward();
  CHECK(x.grad().to_vector() == Values{6, 7});
  x.set_grad({});
  CHECK_FALSE(x.grad().defined());
  CHECK_THROWS_WITH(x.set_grad(ones({3}, {.dtype = f64})), Contains("f64[2]") && Contains("[3]"));
  CHECK_THROWS_WITH(x.set_grad(ones({2})), Contains("f32[2]"));
  CHECK_THROWS_WITH(x.set_grad_storage(ones({2})), Contains("f32[2]"));
}

TEST_CASE("autograd: gradients take the layout of the parameter", "[autograd]") {
  const Tensor weight = rand({2, 3, 2, 2}).channels_last().detach().set_requires_grad();
  (weight * ones({2, 3, 2, 2})).sum().backward();
  CHECK(weight.grad().strides() == weight.strides());
  CHECK(weight.grad().storage().tag() == MemoryTag::grad);
  const Tensor gaps = zeros({2, 6}).slice(1, 0, 6, 2).detach().set_requires_grad();
  gaps.sum().backward();
  CHECK(gaps.grad().is_contiguous());
}

TEST_CASE("autograd: frozen leaves get no gradient", "[autograd]") {
  const Tensor x = leaf({2});
  const Tensor frozen = leaf({3}).set_requires_grad(false);
  (x * frozen).backward();
  CHECK(x.grad().item() == 3);
  CHECK_FALSE(frozen.grad().defined());
}

TEST_CASE("autograd: gradients come back in the dtype of the leaf", "[autograd]") {
  const Tensor x = tensor({1, 2}, {2}, {.requires_grad = true});
  (x * leaf({3, 4})).sum().backward();
  CHECK(x.grad().dtype() == f32);
  CHECK(x.grad().to_vector() == Values{3, 4});
}

TEST_CASE("autograd: very deep graphs need no stack", "[autograd][cpu]") {
  constexpr int kDepth = 200'000;
  SECTION("a chain, run and freed") {
    const Tensor x = leaf({1});
    Tensor y = x;
    for (int i = 0; i < kDepth; ++i) y = y + 1.0;
    y.backward();
    CHECK(x.grad().item() == 1);
  }
  SECTION("a chain that is never run") {
    Tensor y = leaf({1});
    for (int i = 0; i < kDepth; ++i) y = neg(y);
    CHECK_NOTHROW(y = Tensor());
  }
  SECTION("a ladder of diamonds") {
    const Tensor x = leaf({1});
    Tensor y = x;
    for (int i = 0; i < kDepth / 10; ++i) y = (y + y) * 0.5;
    y.backward();
    CHECK(x.grad().item() == 1);
  }
}

TEST_CASE("autograd: the same graph gives the same bits", "[autograd]") {
  auto run = [] {
    const Tensor x = arange(64, {.dtype = f32}).reshape({8, 8}).detach().set_requires_grad();
    const Tensor a = x * 0.01;
    Tensor total = a.sum();
    for (int i = 1; i < 20; ++i) total = total + tanh(matmul(a, a.t()) * (0.1 / i)).mean();
    total.backward();
    return x.grad().to_vector();
  };
  const Values first = run();
  for (int i = 0; i < 3; ++i) CHECK(run() == first);
}

TEST_CASE("autograd: errors of backward carry the operation", "[autograd]") {
  const Tensor x = leaf({1, 2});
  const Tensor y = exp(x);
  const Tensor z = y.sum();
  y.detach().zero_();
  CHECK_THROWS_WITH(z.backward(), Contains("backward of exp: "));
}

TEST_CASE("autograd: a converted leaf does not take the gradient of its old self", "[autograd]") {
  const Tensor x = leaf({1, 2});
  const Tensor y = (x * 2).sum();
  x.set_data(ones({2}));
  CHECK_THROWS_WITH(y.backward(), Contains("f64[2]") && Contains("f32[2]"));
}
