// The contract of hooks on modules (nn/module.h). Forward hooks run before and after forward and
// see the tensors among its arguments and results, flattened. Backward hooks run once for each
// recorded forward: the pre hook when the gradients of the results are complete, before anything
// within the module; the full hook when those of the inputs are, after everything within. They see
// this call's share only, and the numbers do not change by being looked at.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "minidl/core/autograd/engine.h"
#include "minidl/core/grad_mode.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/core/random.h"
#include "minidl/kernels/common/error.h"
#include "minidl/nn/module.h"
#include "minidl/nn/modules/activation.h"
#include "minidl/nn/modules/container.h"
#include "minidl/nn/modules/linear.h"
#include "tests/catch.h"
#include "tests/finite_differences.h"
#include "tests/random_views.h"

using namespace minidl;
using Values = std::vector<double>;
using Names = std::vector<std::string>;

namespace {

struct Net : nn::Module<Net> {
  nn::Linear first{*this, "first", {.in = 3, .out = 3}};
  nn::Linear second{*this, "second", {.in = 3, .out = 2}};
  Tensor forward(const Tensor& x) { return second(first(x)); }
};

// Several of each: results are tensors in a tuple, arguments tensors and a number.
struct Pairwise : nn::Module<Pairwise> {
  std::tuple<Tensor, Tensor> forward(const Tensor& a, const Tensor& b, double factor) {
    return {exp(a) * b, a * factor};
  }
};

Tensor random_leaf(const Shape& shape) {
  return randn(shape, {.dtype = f64}).set_requires_grad();
}

void check_close(const Tensor& actual, const Values& expected) {
  const Values values = actual.to_vector();
  REQUIRE(values.size() == expected.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    CHECK(values[i] == Approx(expected[i]).epsilon(1e-6).margin(1e-7));
  }
}

// Registers hooks that write down what happens around `module`.
void log_backward(nn::ModuleBase& module, const std::string& label, Names& events) {
  module.register_full_backward_pre_hook(
      [&events, label](nn::ModuleBase&, const Tensors&) { events.push_back(label + " begins"); });
  module.register_full_backward_hook(
      [&events, label](nn::ModuleBase&, const Tensors&, const Tensors&) {
        events.push_back(label + " ends");
      });
}

}  // namespace

TEST_CASE("module hooks: run around forward in the order they were registered", "[contract]") {
  Net net;
  Names calls;
  net.register_forward_pre_hook([&](nn::ModuleBase& module, const Tensors& inputs) {
    CHECK(&module == &net);
    calls.push_back("before, " + to_string(inputs.at(0).shape()));
  });
  net.second.register_forward_hook(
      [&](nn::ModuleBase&, const Tensors&, const Tensors&) { calls.emplace_back("second"); });
  for (const char* label : {"after", "after that"}) {
    net.register_forward_hook(
        [&calls, label](nn::ModuleBase&, const Tensors& inputs, const Tensors& outputs) {
          CHECK(inputs.size() == 1);
          CHECK(outputs.size() == 1);
          calls.emplace_back(label);
        });
  }
  net(rand({4, 3}));
  CHECK(calls == Names{"before, [4, 3]", "second", "after", "after that"});
}

TEST_CASE("module hooks: backward hooks see the gradients of results and inputs", "[contract]") {
  INFO("MINIDL_TEST_SEED=" << minidl::test::test_seed());
  manual_seed(minidl::test::test_seed());
  nn::Linear fc({.in = 3, .out = 2});
  fc.to(f64);
  Tensor seen_before;
  Tensor seen_after;
  Tensor grad_input;
  fc.register_full_backward_pre_hook([&](nn::ModuleBase& module, const Tensors& grad_outputs) {
    CHECK(&module == &fc);
    REQUIRE(grad_outputs.size() == 1);
    seen_before = grad_outputs[0];
  });
  fc.register_full_backward_hook(
      [&](nn::ModuleBase& module, const Tensors& grad_inputs, const Tensors& grad_outputs) {
        CHECK(&module == &fc);
        REQUIRE(grad_inputs.size() == 1);
        REQUIRE(grad_outputs.size() == 1);
        grad_input = grad_inputs[0];
        seen_after = grad_outputs[0];
      });
  const Tensor x = random_leaf({4, 3});
  const Tensor weights = randn({4, 2}, {.dtype = f64});
  (fc(x) * weights).sum().backward();
  CHECK(seen_before.to_vector() == weights.to_vector());
  CHECK(seen_after.to_vector() == weights.to_vector());
  CHECK(grad_input.to_vector() == x.grad().to_vector());
  const NoGradGuard no_grad;
  check_close(grad_input,
              test::finite_differences(x, [&] { return (fc(x) * weights).sum().item(); }));
}

TEST_CASE("module hooks: several inputs and results, some without a gradient", "[contract]") {
  INFO("MINIDL_TEST_SEED=" << minidl::test::test_seed());
  manual_seed(minidl::test::test_seed());
  Pairwise module;
  Tensors grad_inputs;
  Tensors grad_outputs;
  module.register_full_backward_hook(
      [&](nn::ModuleBase&, const Tensors& inputs, const Tensors& outputs) {
        grad_inputs = inputs;
        grad_outputs = outputs;
      });
  const Tensor a = random_leaf({3});
  const Tensor b = random_leaf({3});
  SECTION("all of them") {
    const auto loss = [&] {
      const auto [y, z] = module(a, b, 3.0);
      return (y * y * z).sum();
    };
    loss().backward();
    REQUIRE(grad_inputs.size() == 2);
    REQUIRE(grad_outputs.size() == 2);
    const Values of_a = test::finite_differences(a, [&] { return loss().item(); });
    const Values of_b = test::finite_differences(b, [&] { return loss().item(); });
    check_close(grad_inputs[0], of_a);
    check_close(grad_inputs[1], of_b);
    check_close(a.grad(), of_a);
  }
  SECTION("an input that wants none, a result that nothing was made of") {
    const auto [y, z] = module(a, b.detach(), 3.0);
    y.sum().backward();
    REQUIRE(grad_inputs.size() == 2);
    CHECK(grad_inputs[0].to_vector() == a.grad().to_vector());
    CHECK_FALSE(grad_inputs[1].defined());
    REQUIRE(grad_outputs.size() == 2);
    CHECK(grad_outputs[0].to_vector() == Values{1, 1, 1});
    CHECK_FALSE(grad_outputs[1].defined());
  }
  SECTION("an input that the result does not depend on") {
    const auto [y, z] = module(a, b, 3.0);
    z.sum().backward();
    CHECK(grad_inputs.at(0).to_vector() == Values{3, 3, 3});
    CHECK_FALSE(grad_inputs.at(1).defined());
    CHECK_FALSE(b.grad().defined());
  }
  SECTION("one tensor twice: each argument has its own share") {
    const auto [y, z] = module(a, a, 3.0);
    y.sum().backward();
    check_close(grad_inputs.at(0), (exp(a) * a).to_vector());
    check_close(grad_inputs.at(1), exp(a).to_vector());
    check_close(a.grad(), (exp(a) * a + exp(a)).to_vector());
  }
}

TEST_CASE("module hooks: order around inner modules and their parameters", "[contract]") {
  Net net;
  Names events;
  log_backward(net, "net", events);
  log_backward(net.first, "first", events);
  log_backward(net.second, "second", events);
  for (const NamedTensor& entry : net.named_parameters()) {
    entry.tensor.register_post_accumulate_grad_hook(
        [&events, name = entry.name](const Tensor&) { events.push_back(name); });
  }
  const Tensor x = rand({4, 3}).set_requires_grad();
  x.register_post_accumulate_grad_hook([&](const Tensor&) {
    events.emplace_back("x");
    autograd::queue_end_of_backward([&] { events.emplace_back("end"); });
  });
  net(x).sum().backward();
  const auto position = [&](const std::string& event) {
    const auto found = std::find(events.begin(), events.end(), event);
    REQUIRE(found != events.end());
    return found - events.begin();
  };
  CHECK(events.size() == 12);
  // Parameters of one operation accumulate in either order.
  const Names expected{"net begins", "second begins", "second.bias", "second ends", "first begins",
                       "first.bias", "first ends",    "net ends",    "x",           "end"};
  for (std::size_t i = 1; i < expected.size(); ++i) {
    INFO(expected[i - 1] << " before " << expected[i]);
    CHECK(position(expected[i - 1]) < position(expected[i]));
  }
  for (const std::string name : {"first", "second"}) {
    CHECK(position(name + " begins") < position(name + ".weight"));
    CHECK(position(name + ".weight") < position(name + " ends"));
  }
}

TEST_CASE("module hooks: an input that is used elsewhere, too, counts the module's share only",
          "[contract]") {
  nn::ReLU module;
  Values share;
  module.register_full_backward_hook([&](nn::ModuleBase&, const Tensors& inputs, const Tensors&) {
    share = inputs.at(0).to_vector();
  });
  const Tensor x = tensor({-1, 2}, {2}, {.requires_grad = true});
  (module(x) + x * 10).sum().backward();  // a residual connection
  CHECK(share == Values{0, 1});
  CHECK(x.grad().to_vector() == Values{10, 11});
}

TEST_CASE("module hooks: once for each forward, and in each backward pass", "[contract]") {
  nn::Linear fc({.in = 2, .out = 2, .bias = false});
  Names events;
  log_backward(fc, "fc", events);
  const Tensor x = rand({1, 2}).set_requires_grad();
  SECTION("a module that is called twice") {
    fc(fc(x)).sum().backward();
    CHECK(events == Names{"fc begins", "fc ends", "fc begins", "fc ends"});
  }
  SECTION("a graph that is run twice") {
    std::vector<Values> seen;
    fc.register_full_backward_hook([&](nn::ModuleBase&, const Tensors&, const Tensors& outputs) {
      seen.push_back(outputs.at(0).to_vector());
    });
    const Tensor y = fc(x);
    y.backward(tensor({1, 2}, {1, 2}), /*retain_graph=*/true);
    y.backward(tensor({3, 4}, {1, 2}));
    CHECK(events.size() == 4);
    CHECK(seen == std::vector<Values>{{1, 2}, {3, 4}});
  }
  SECTION("a forward whose result is not used") {
    const Tensor unused = fc(x);
    (x * 2).sum().backward();
    CHECK(events.empty());
  }
  SECTION("through the base class, in a Sequential") {
    nn::Sequential net;
    log_backward(net.append<nn::ReLU>(), "relu", events);
    log_backward(net.append<nn::Tanh>(), "tanh", events);
    net(x).sum().backward();
    CHECK(events == Names{"tanh begins", "tanh ends", "relu begins", "relu ends"});
  }
}

TEST_CASE("module hooks: where no input needs a gradient the full hook does not run",
          "[contract]") {
  nn::Linear fc({.in = 2, .out = 2});
  Names events;
  log_backward(fc, "fc", events);
  const std::int64_t before = memory_stats(default_device())[MemoryTag::activation].current;
  const Tensor y = fc(rand({100, 2}));
  y.sum().backward();
  CHECK(events == Names{"fc begins"});
  CHECK(fc.weight.grad().defined());
  // The gradients of the results are not kept waiting for it.
  CHECK(memory_stats(default_device())[MemoryTag::activation].current - before == 100 * 2 * 4);
}

TEST_CASE("module hooks: nothing is recorded for them where nothing is recorded", "[contract]") {
  nn::Linear fc({.in = 2, .out = 2});
  Names events;
  log_backward(fc, "fc", events);
  {
    const NoGradGuard no_grad;
    CHECK_FALSE(fc(rand({1, 2})).requires_grad());
  }
  fc.requires_grad_(false);
  CHECK_FALSE(fc(rand({1, 2})).requires_grad());
  CHECK(events.empty());
}

TEST_CASE("module hooks: a module that returns its input", "[contract]") {
  nn::Identity identity;
  Names events;
  log_backward(identity, "identity", events);
  Values passed;
  identity.register_full_backward_hook(
      [&](nn::ModuleBase&, const Tensors& inputs, const Tensors& outputs) {
        CHECK(inputs.at(0).to_vector() == outputs.at(0).to_vector());
        passed = inputs[0].to_vector();
      });
  const Tensor x = tensor({1, 2}, {2}, {.requires_grad = true});
  const Tensor y = identity(x);
  CHECK(y.storage() == x.storage());
  (y * 3).sum().backward();
  CHECK(events == Names{"identity begins", "identity ends"});
  CHECK(passed == Values{3, 3});
  CHECK(x.grad().to_vector() == Values{3, 3});
}

TEST_CASE("module hooks: backward from within a module knows no gradients of its results",
          "[contract]") {
  // Keeps something for an auxiliary loss.
  struct Router : nn::Module<Router> {
    Tensor balance;
    Tensor forward(const Tensor& x) {
      balance = (x * x).mean();
      return x * 2;
    }
  };
  Router router;
  int calls = 0;
  router.register_full_backward_hook(
      [&](nn::ModuleBase&, const Tensors& inputs, const Tensors& outputs) {
        ++calls;
        CHECK(inputs.at(0).to_vector() == Values{1, 2});
        REQUIRE(outputs.size() == 1);
        CHECK_FALSE(outputs[0].defined());
      });
  const Tensor x = tensor({1, 2}, {2}, {.requires_grad = true});
  router(x);
  router.balance.backward();
  CHECK(calls == 1);
}

TEST_CASE("module hooks: gradients are the same bits with them and without", "[contract]") {
  Net net;
  const Tensor x = rand({5, 3}).set_requires_grad();
  const auto gradients = [&] {
    net.zero_grad();
    x.zero_grad();
    tanh(net(x)).sum().backward();
    std::vector<Values> result{x.grad().to_vector()};
    for (const Tensor& parameter : net.parameters()) {
      result.push_back(parameter.grad().to_vector());
    }
    return result;
  };
  const std::vector<Values> expected = gradients();
  Names events;
  log_backward(net, "net", events);
  log_backward(net.first, "first", events);
  CHECK(gradients() == expected);
  CHECK(events.size() == 4);
}

TEST_CASE("module hooks: their handles take them back", "[contract]") {
  nn::ReLU module;
  int calls = 0;
  const Tensor x = ones({1}, {.requires_grad = true});
  std::vector<HookHandle> handles{
      module.register_forward_pre_hook([&](nn::ModuleBase&, const Tensors&) { ++calls; }),
      module.register_forward_hook(
          [&](nn::ModuleBase&, const Tensors&, const Tensors&) { ++calls; }),
      module.register_full_backward_pre_hook([&](nn::ModuleBase&, const Tensors&) { ++calls; }),
      module.register_full_backward_hook(
          [&](nn::ModuleBase&, const Tensors&, const Tensors&) { ++calls; })};
  SECTION("one after the other") {
    for (std::size_t i = 0; i < handles.size(); ++i) {
      calls = 0;
      module(x).backward();
      CHECK(calls == static_cast<int>(handles.size() - i));
      handles[i].remove();
      handles[i].remove();
    }
    calls = 0;
    module(x).backward();
    CHECK(calls == 0);
  }
  SECTION("between forward and backward") {
    const Tensor y = module(x);
    for (HookHandle& handle : handles) handle.remove();
    y.backward();
    CHECK(calls == 2);
    CHECK(x.grad().item() == 1);
  }
  SECTION("from within") {
    HookHandle self;
    self = module.register_forward_hook([&](nn::ModuleBase&, const Tensors&, const Tensors&) {
      calls += 100;
      self.remove();
    });
    module(x);
    module(x);
    CHECK(calls == 104);
  }
}

TEST_CASE("module hooks: what a hook throws ends the pass", "[contract]") {
  Net net;
  HookHandle handle = net.first.register_forward_hook(
      [](nn::ModuleBase&, const Tensors&, const Tensors&) { throw Error("bad activation"); });
  CHECK_THROWS_WITH(net(rand({1, 3})), "first: bad activation");
  handle.remove();
  net.first.register_full_backward_pre_hook(
      [](nn::ModuleBase&, const Tensors&) { throw Error("bad gradient"); });
  CHECK_THROWS_WITH(net(rand({1, 3})).sum().backward(), Contains("bad gradient"));
}
