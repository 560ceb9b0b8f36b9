// The contract of hooks on tensors (core/tensor.h, core/hooks.h, core/autograd/engine.h). A hook on
// a tensor sees its gradient once in every backward pass, when it is complete, and may replace it.
// A post-accumulate hook sees a leaf as soon as its grad() is ready, before earlier operations run.
// End-of-backward callbacks come after the last gradient. Every hook can be taken back by its
// handle. Hooks on modules: tests/nn/test_module_hooks.cpp; on saved tensors:
// test_saved_tensors.cpp.

#include <memory>
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
#include "tests/core/leaf.h"

using namespace minidl;
using test::leaf;
using Values = std::vector<double>;

TEST_CASE("hooks: see the complete gradient of a result, once", "[contract]") {
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

TEST_CASE("hooks: what they return replaces the gradient, one after the other", "[contract]") {
  const Tensor x = leaf({2});
  const Tensor y = x * 3;
  y.register_hook([](const Tensor& grad) { return grad * 10; });
  y.register_hook([](const Tensor& grad) { return grad + 1.0; });
  y.backward();
  CHECK(x.grad().item() == 33);
}

TEST_CASE("hooks: on leaves, before accumulation", "[contract]") {
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

TEST_CASE("hooks: registered after forward still run", "[contract]") {
  const Tensor x = leaf({2});
  const Tensor y = x * 3;
  x.register_hook([](const Tensor& grad) { return grad * 2; });
  y.backward();
  CHECK(x.grad().item() == 6);
}

TEST_CASE("hooks: record nothing", "[contract]") {
  const Tensor x = leaf({2});
  bool recording = true;
  x.register_hook([&](const Tensor&) {
    recording = grad_enabled();
    return Tensor();
  });
  (x * x).backward();
  CHECK_FALSE(recording);
}

TEST_CASE("hooks: a replacement of another shape or dtype is refused", "[contract]") {
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

TEST_CASE("hooks: need a tensor that requires a gradient", "[contract]") {
  CHECK_THROWS_WITH(ones({1}).register_hook([](const Tensor& g) { return g; }),
                    Contains("register_hook"));
  CHECK_THROWS_WITH(ones({1}).register_post_accumulate_grad_hook([](const Tensor&) {}),
                    Contains("only leaves"));
  CHECK_THROWS_WITH((leaf({1}) * 2).register_post_accumulate_grad_hook([](const Tensor&) {}),
                    Contains("only leaves"));
}

TEST_CASE("hooks: post-accumulate hooks see grad() complete", "[contract]") {
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

TEST_CASE("hooks: a leaf's gradient is announced before earlier operations run", "[contract]") {
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

TEST_CASE("hooks: end-of-backward callbacks run once, after the last gradient", "[contract]") {
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

TEST_CASE("hooks: callbacks of a backward that failed are dropped", "[contract]") {
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

TEST_CASE("hooks: a backward within a hook is a pass of its own", "[contract]") {
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

TEST_CASE("hooks: their handle takes them back", "[contract]") {
  const Tensor x = leaf({2});
  int calls = 0;
  const auto count = [&](const Tensor&) {
    ++calls;
    return Tensor();
  };
  SECTION("on a leaf") {
    HookHandle handle = x.register_hook(count);
    (x * x).backward();
    CHECK(calls == 1);
    handle.remove();
    handle.remove();  // the second time does nothing
    (x * x).backward();
    CHECK(calls == 1);
  }
  SECTION("on a result") {
    const Tensor y = x * x;
    HookHandle handle = y.register_hook(count);
    y.backward({}, true);
    handle.remove();
    y.backward();
    CHECK(calls == 1);
  }
  SECTION("after accumulation") {
    HookHandle handle = x.register_post_accumulate_grad_hook([&](const Tensor&) { ++calls; });
    (x * x).backward();
    handle.remove();
    (x * x).backward();
    CHECK(calls == 1);
  }
  SECTION("through a copy of it") {
    const HookHandle original = x.register_hook(count);
    HookHandle copy = original;
    copy.remove();
    (x * x).backward();
    CHECK(calls == 0);
  }
  SECTION("which does nothing when the tensor is gone, or for no hook") {
    HookHandle handle = (x * x).register_hook(count);
    handle.remove();
    HookHandle().remove();
  }
}

TEST_CASE("hooks: may remove and add hooks while they run", "[contract]") {
  const Tensor x = leaf({2});
  std::vector<std::string> calls;
  HookHandle first;
  HookHandle last;
  // Captures more than fits into a std::function, so that using it after its end would show.
  const std::string label = "a label long enough to live on the heap";
  first = x.register_hook([&, label](const Tensor&) {
    calls.push_back("first");
    first.remove();
    CHECK(label.size() == 39);
    return Tensor();
  });
  x.register_hook([&](const Tensor&) {
    calls.push_back("second");
    last.remove();
    if (calls.size() < 3) {
      x.register_hook([&](const Tensor&) {
        calls.push_back("added");
        return Tensor();
      });
    }
    return Tensor();
  });
  last = x.register_hook([&](const Tensor&) {
    calls.push_back("last");
    return Tensor();
  });
  (x * x).backward();
  CHECK(calls == std::vector<std::string>{"first", "second", "added"});
  calls.clear();
  (x * x).backward();
  CHECK(calls == std::vector<std::string>{"second", "added", "added"});
}

TEST_CASE("hooks: removal lets go of what they hold", "[contract]") {
  const Tensor x = leaf({2});
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = held;
  HookHandle handle = x.register_hook([held](const Tensor& grad) { return grad * *held; });
  held.reset();
  CHECK_FALSE(watch.expired());
  handle.remove();
  CHECK(watch.expired());
}

TEST_CASE("hooks: one that throws ends the pass, and names the operation", "[contract]") {
  const Tensor x = leaf({2});
  const Tensor y = exp(x);
  HookHandle handle =
      y.register_hook([](const Tensor&) -> Tensor { throw Error("not this gradient"); });
  CHECK_THROWS_WITH(y.backward(), "backward of exp: not this gradient");
  CHECK_FALSE(x.grad().defined());
  handle.remove();
  y.backward();  // nothing of it had run
  CHECK(x.grad().item() == y.item());
}

TEST_CASE("hooks: an optimizer step within backward", "[contract]") {
  // After its gradient is there, a parameter is updated and the gradient dropped, memory and all.
  const Tensor x = leaf({2});
  x.register_post_accumulate_grad_hook([](const Tensor& parameter) {
    const NoGradGuard no_grad;
    parameter.add_(parameter.grad(), -0.25);
    parameter.set_grad({});
  });
  for (int step = 0; step < 2; ++step) (x * x).backward();
  CHECK(x.item() == 0.5);
  CHECK_FALSE(x.grad().defined());
}
