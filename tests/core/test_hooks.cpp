// Everything that can be hung into a backward pass: hooks, callbacks, saved-tensor hooks.

#include <stdexcept>
#include <string>
#include <vector>

#include "minidl/core/autograd/engine.h"
#include "minidl/core/autograd/node.h"
#include "minidl/core/grad_mode.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/tensor.h"
#include "minidl/kernels/common/error.h"
#include "tests/catch.h"

using namespace minidl;
using Values = std::vector<double>;

namespace {

Tensor leaf(const Values& values) {
  return tensor(values, {static_cast<std::int64_t>(values.size())},
                {.dtype = f64, .requires_grad = true});
}

}  // namespace

TEST_CASE("hooks: see the complete gradient of a result, once", "[hooks]") {
  const Tensor x = leaf({2});
  const Tensor y = x * 3;
  Values seen;
  y.register_hook([&](const Tensor& grad) {
    seen.push_back(grad.item());
    return Tensor();
  });
  (y * y + y).backward();
  CHECK(seen == Values{13});
  CHECK(x.grad().item() == 39);
}

TEST_CASE("hooks: what they return replaces the gradient, one after the other", "[hooks]") {
  const Tensor x = leaf({2});
  const Tensor y = x * 3;
  y.register_hook([](const Tensor& grad) { return grad * 10; });
  y.register_hook([](const Tensor& grad) { return grad + 1.0; });
  y.backward();
  CHECK(x.grad().item() == 33);
}

TEST_CASE("hooks: on leaves, before accumulation", "[hooks]") {
  const Tensor x = leaf({2});
  Values seen;
  x.register_hook([&](const Tensor& grad) {
    seen.push_back(grad.item());
    return grad * 100;
  });
  (x * x).backward();
  (x * x).backward();
  CHECK(seen == Values{4, 4});
  CHECK(x.grad().item() == 800);
}

TEST_CASE("hooks: registered after forward still run", "[hooks]") {
  const Tensor x = leaf({2});
  const Tensor y = x * 3;
  x.register_hook([](const Tensor& grad) { return grad * 2; });
  y.backward();
  CHECK(x.grad().item() == 6);
}

TEST_CASE("hooks: record nothing", "[hooks]") {
  const Tensor x = leaf({2});
  bool recording = true;
  x.register_hook([&](const Tensor&) {
    recording = grad_enabled();
    return Tensor();
  });
  (x * x).backward();
  CHECK_FALSE(recording);
}

TEST_CASE("hooks: a replacement of another shape or dtype is refused", "[hooks]") {
  const Tensor x = leaf({1, 2});
  const Tensor y = x * 2;
  SECTION("shape of a result") {
    y.register_hook([](const Tensor&) { return ones({1}, {.dtype = f64}); });
    CHECK_THROWS_WITH(y.sum().backward(), Contains("backward of affine") && Contains("f64[1]"));
  }
  SECTION("dtype of a result") {
    y.register_hook([](const Tensor&) { return ones({2}); });
    CHECK_THROWS_WITH(y.sum().backward(), Contains("f32[2]"));
  }
  SECTION("shape of a leaf") {
    x.register_hook([](const Tensor&) { return ones({1}, {.dtype = f64}); });
    CHECK_THROWS_WITH(y.sum().backward(), Contains("f64[1]"));
  }
}

TEST_CASE("hooks: need a tensor that requires a gradient", "[hooks]") {
  CHECK_THROWS_WITH(ones({1}).register_hook([](const Tensor& g) { return g; }),
                    Contains("register_hook"));
  CHECK_THROWS_WITH(ones({1}).register_post_accumulate_grad_hook([](const Tensor&) {}),
                    Contains("only leaves"));
  CHECK_THROWS_WITH((leaf({1}) * 2).register_post_accumulate_grad_hook([](const Tensor&) {}),
                    Contains("only leaves"));
}

TEST_CASE("hooks: post-accumulate hooks see grad() complete", "[hooks]") {
  const Tensor x = leaf({2});
  Values seen;
  x.register_post_accumulate_grad_hook([&](const Tensor& tensor) {
    CHECK(tensor.is_same(x));
    seen.push_back(tensor.grad().item());
  });
  (x * x + x).backward();
  x.backward();
  CHECK(seen == Values{5, 6});
}

TEST_CASE("hooks: a leaf's gradient is announced before earlier operations run", "[hooks]") {
  std::vector<std::string> order;
  const Tensor early = leaf({1});
  const Tensor late = leaf({1});
  const Tensor middle = early * 2;
  middle.register_hook([&](const Tensor&) {
    order.emplace_back("middle");
    return Tensor();
  });
  for (const auto& [name, tensor] : {std::pair("early", early), std::pair("late", late)}) {
    tensor.register_post_accumulate_grad_hook(
        [&order, label = std::string(name)](const Tensor&) { order.push_back(label); });
  }
  (middle * late).backward();
  CHECK(order == std::vector<std::string>{"late", "middle", "early"});
}

TEST_CASE("hooks: end-of-backward callbacks run once, after the last gradient", "[hooks]") {
  const Tensor a = leaf({1});
  const Tensor b = leaf({1});
  std::vector<std::string> order;
  b.register_post_accumulate_grad_hook([&](const Tensor&) {
    order.emplace_back("b");
    autograd::queue_end_of_backward([&] {
      order.emplace_back("end");
      autograd::queue_end_of_backward([&] { order.emplace_back("after the end"); });
    });
  });
  a.register_post_accumulate_grad_hook([&](const Tensor&) { order.emplace_back("a"); });
  const Tensor y = ((a * 2) * b);
  y.backward({}, true);
  CHECK(order == std::vector<std::string>{"b", "a", "end", "after the end"});
  order.clear();
  y.backward();
  CHECK(order == std::vector<std::string>{"b", "a", "end", "after the end"});
}

TEST_CASE("hooks: callbacks of a backward that failed are dropped", "[hooks]") {
  const Tensor x = leaf({1});
  const Tensor y = x * 2;
  bool called = false;
  bool fail = true;
  y.register_hook([&](const Tensor&) {
    autograd::queue_end_of_backward([&] { called = true; });
    return Tensor();
  });
  x.register_hook([&](const Tensor&) -> Tensor {
    if (fail) throw std::runtime_error("stop");
    return {};
  });
  CHECK_THROWS_WITH(y.backward(), "stop");
  CHECK_FALSE(called);
  CHECK_THROWS_WITH(autograd::queue_end_of_backward([] {}), Contains("no backward pass"));
  fail = false;
  (x * 3).backward();
  CHECK_FALSE(called);
}

TEST_CASE("hooks: a backward within a hook is a pass of its own", "[hooks]") {
  const Tensor x = leaf({2});
  const Tensor other = leaf({3});
  x.register_hook([&](const Tensor&) {
    const GradModeGuard recording(true);
    (other * other).backward();
    return Tensor();
  });
  (x * 2).backward();
  CHECK(x.grad().item() == 2);
  CHECK(other.grad().item() == 6);
}

TEST_CASE("hooks: saved tensors go through pack and come back through unpack", "[hooks]") {
  const Tensor x = leaf({3});
  int packed = 0;
  int unpacked = 0;
  Tensor y;
  {
    const autograd::SavedTensorHooks hooks([&](const Tensor& saved) {
      ++packed;
      CHECK_FALSE(saved.requires_grad());
      return [&, copy = saved.clone()] {
        ++unpacked;
        return copy * 10;
      };
    });
    y = exp(x * x);
  }
  CHECK(packed == 3);
  CHECK(unpacked == 0);
  const double e = y.item();
  y.backward();
  CHECK(unpacked == 3);
  CHECK(x.grad().item() == Approx(10 * e * 2 * 30));
}

TEST_CASE("hooks: saved-tensor hooks vouch for changes in place", "[hooks]") {
  const Tensor x = leaf({3});
  const Tensor factor = full({1}, 5, {.dtype = f64});
  const autograd::SavedTensorHooks hooks(
      [](const Tensor& saved) { return [copy = saved.clone()] { return copy; }; });
  const Tensor y = x * factor;
  factor.zero_();
  y.backward();
  CHECK(x.grad().item() == 5);
}

TEST_CASE("hooks: the innermost saved-tensor hooks win, and end with their scope", "[hooks]") {
  std::vector<std::string> packed;
  auto pack = [&](const char* label) {
    return [&packed, label](const Tensor& saved) {
      packed.emplace_back(label);
      return [saved] { return saved; };
    };
  };
  const Tensor x = leaf({3});
  {
    const autograd::SavedTensorHooks outer(pack("outer"));
    {
      const autograd::SavedTensorHooks inner(pack("inner"));
      exp(x);
    }
    exp(x);
  }
  exp(x);
  CHECK(packed == std::vector<std::string>{"inner", "outer"});
}

TEST_CASE("hooks: nothing is packed where nothing is recorded", "[hooks]") {
  const autograd::SavedTensorHooks hooks(
      [](const Tensor&) -> autograd::SavedTensorHooks::Unpack { throw Error("packed"); });
  CHECK_NOTHROW(exp(ones({1})));
  const NoGradGuard off;
  CHECK_NOTHROW(exp(leaf({1})));
}
