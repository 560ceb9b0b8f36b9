// What checkpoint makes of bodies of every kind. The contract is proven, with modules, in
// tests/nn/test_checkpoint_contract.cpp.

#include <cstdint>
#include <functional>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "minidl/core/autograd/checkpoint.h"
#include "minidl/core/autograd/node.h"
#include "minidl/core/grad_mode.h"
#include "minidl/core/ops/dropout.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/core/ops/shape.h"
#include "minidl/core/random.h"
#include "minidl/core/tensor.h"
#include "minidl/kernels/common/error.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using Values = std::vector<double>;

namespace {

Tensor leaf(const Values& values) {
  return tensor(values, {static_cast<std::int64_t>(values.size())},
                {.dtype = f64, .requires_grad = true});
}

Values gradient_of(const Tensor& x, const Tensor& y) {
  x.zero_grad();
  y.sum().backward();
  return x.grad().to_vector();
}

std::int64_t activations() {
  return memory_stats(default_device())[MemoryTag::activation].current;
}

// Some operations that `seed` chooses, with inner programs, which may be checkpoints.
Tensors random_program(unsigned seed, const Tensors& inputs, int depth, bool checkpoints) {
  std::mt19937 random(seed);
  Tensors values = inputs;
  for (int step = 0; step < 6; ++step) {
    const Tensor a = values[random() % values.size()];
    const Tensor b = values[random() % values.size()];
    const auto body = [inner = static_cast<unsigned>(random()), depth,
                       checkpoints](const Tensors& in) {
      return random_program(inner, in, depth - 1, checkpoints);
    };
    switch (random() % (depth > 0 ? 8 : 6)) {
      case 0: values.push_back(tanh(a)); break;
      case 1: values.push_back(a * b); break;
      case 2: values.push_back(dropout(a, 0.5)); break;
      case 3: values.push_back(maximum(a, b)); break;
      case 4: values.push_back(sigmoid(a + b * 2)); break;
      case 5:
        values.push_back(a * 1.5);
        values.back().register_hook([](const Tensor& grad) { return grad * 0.5; });
        break;
      default:
        for (const Tensor& result : checkpoints ? checkpoint(body, {a, b}) : body({a, b})) {
          values.push_back(result);
        }
    }
  }
  return {values.back(), values[values.size() - 2]};
}

}  // namespace

TEST_CASE("checkpoint: bodies of every kind have the gradients they have without", "[contract]") {
  using Body = std::function<Tensor(const Tensor&)>;
  const Tensor captured = leaf({0.5, 2, 3});
  struct Row {
    std::string label;
    Body body;
  };
  const std::vector<Row> rows{
      {"the input itself", [](const Tensor& x) { return x; }},
      {"nothing saved", [](const Tensor& x) { return x + 1.0; }},
      {"only the input saved", [](const Tensor& x) { return x * x; }},
      {"results saved", [](const Tensor& x) { return exp(tanh(x)); }},
      {"one operand read twice", [](const Tensor& x) { return maximum(x, x * x); }},
      {"a tensor from outside", [&](const Tensor& x) { return exp(x * captured) * captured; }},
      {"views",
       [](const Tensor& x) {
         return exp(cat({x.slice(0, 0, 2), x.slice(0, 1, 3)}));
       }},
      {"random numbers", [](const Tensor& x) { return dropout(exp(x), 0.5) * dropout(x, 0.5); }},
      {"random tensors", [](const Tensor& x) { return x * rand({3}, {.dtype = f64}); }},
      {"a part without gradient",
       [](const Tensor& x) {
         const NoGradGuard no_grad;
         const Tensor scale = exp(x);
         const GradModeGuard recording(true);
         return sigmoid(x * scale);
       }},
      {"a checkpoint",
       [](const Tensor& x) {
         return exp(checkpoint([](const Tensor& in) { return tanh(dropout(in, 0.5)); }, tanh(x)));
       }},
      {"a checkpoint that saves last",
       [](const Tensor& x) {
         return checkpoint([](const Tensor& in) { return dropout(exp(tanh(in)), 0.5); }, tanh(x));
       }},
  };
  for (const Row& row : rows) {
    INFO(row.label);
    const Tensor x = leaf({-1, 0.3, 2});
    manual_seed(5);
    const Tensor plain = row.body(x);
    const Generator::State after = default_generator().state();
    const Values expected = gradient_of(x, plain);

    manual_seed(5);
    const Tensor y = checkpoint(row.body, x);
    CHECK(y.to_vector() == plain.to_vector());
    CHECK(gradient_of(x, y) == expected);
    CHECK(default_generator().state() == after);
  }
}

TEST_CASE("checkpoint: several inputs and outputs, integers and undefined ones", "[contract]") {
  const auto body = [](const Tensors& in) {
    CHECK_FALSE(in.at(3).defined());
    CHECK_FALSE(in.at(2).requires_grad());
    return Tensors{exp(in[0]) * in[1], in[0] * in[2].to(f64), in[2]};
  };
  const Tensor a = leaf({1, 2});
  const Tensor b = leaf({3, 4});
  const Tensors inputs{a, b, arange(2), Tensor()};
  const Tensors plain = body(inputs);
  (plain[0] + plain[1]).sum().backward();
  const Values expected_a = a.grad().to_vector();
  const Values expected_b = b.grad().to_vector();
  a.zero_grad();
  b.zero_grad();
  const Tensors results = checkpoint(body, inputs);
  REQUIRE(results.size() == 3);
  CHECK(results[2].is_same(inputs[2]));
  (results[0] + results[1]).sum().backward();
  CHECK(a.grad().to_vector() == expected_a);
  CHECK(b.grad().to_vector() == expected_b);
}

TEST_CASE("checkpoint: the body runs once for each backward pass that needs it", "[contract]") {
  const Tensor x = leaf({1, 2});
  int runs = 0;
  int second_runs = 0;
  const auto body = [&](const Tensors& in) {
    ++runs;
    if (autograd::is_recomputing()) ++second_runs;
    return Tensors{exp(in[0]), tanh(in[0])};
  };
  const Tensors y = checkpoint(body, {x});
  CHECK(runs == 1);
  SECTION("for all results together") {
    (y[0] + y[1]).sum().backward();
    CHECK(runs == 2);
    CHECK(second_runs == 1);
  }
  SECTION("for each on its own") {
    const std::int64_t before = activations();
    y[0].sum().backward({}, /*retain_graph=*/true);
    CHECK(activations() == before);  // what was computed again for tanh has gone
    y[1].sum().backward();
    y[0].sum().backward();
    CHECK(runs == 4);
    CHECK(second_runs == 3);
  }
  SECTION("not where nothing was saved") {
    int times = 0;
    checkpoint([&](const Tensor& in) { return ++times, in + 1.0; }, x).sum().backward();
    CHECK(times == 1);
  }
  CHECK_FALSE(autograd::is_recomputing());
}

TEST_CASE("checkpoint: nested ones each keep their input only", "[contract]") {
  // Each level computes exp and passes on; the innermost level saves like the others.
  int runs[3] = {};
  const std::function<Tensor(int, const Tensor&)> level = [&](int depth, const Tensor& x) {
    ++runs[depth];
    const Tensor y = exp(x * 0.5);
    if (depth == 2) return tanh(y);
    return tanh(checkpoint([&, depth](const Tensor& in) { return level(depth + 1, in); }, y));
  };
  const Tensor x = leaf(Values(100, 0.1));
  const std::int64_t before = activations();
  const Tensor y = checkpoint([&](const Tensor& in) { return level(0, in); }, x);
  CHECK(activations() - before == 800);  // y
  y.sum().backward();
  CHECK(activations() - before == 800);
  CHECK(runs[0] == 2);
  CHECK(runs[1] == 3);
  CHECK(runs[2] == 4);
  const Values actual = x.grad().to_vector();
  CHECK(actual == gradient_of(x, level(0, x)));
}

TEST_CASE("checkpoint: a body that does something else the second time is an error", "[contract]") {
  using Body = std::function<Tensor(const Tensor&)>;
  struct Row {
    std::string label;
    Body second;
    std::string text;
  };
  const Body first = [](const Tensor& x) { return tanh(exp(x)); };
  const std::vector<Row> rows{
      {"fewer saved tensors", [](const Tensor& x) { return exp(x); }, "saved 1 tensors"},
      {"none", [](const Tensor& x) { return x; }, "saved 0 tensors for backward and 2"},
      {"another shape", [](const Tensor& x) { return tanh(exp(x.slice(0, 0, 1))); }, "f64[1]"},
      {"another dtype", [](const Tensor& x) { return tanh(exp(x.to(f32))); }, "f32[2]"},
      {"random numbers", [](const Tensor& x) { return tanh(exp(dropout(x, 0.5))); },
       "other random numbers"},
      {"its own error", [](const Tensor& x) { return x.reshape({7}); }, "reshape"},
  };
  for (const Row& row : rows) {
    INFO(row.label);
    const Tensor x = leaf({1, 2});
    bool again = false;
    const Tensor y =
        checkpoint([&](const Tensor& in) { return (again ? row.second : first)(in); }, x);
    again = true;
    const Generator::State random = default_generator().state();
    CHECK_THROWS_WITH(
        y.sum().backward(),
        Contains("backward of tanh: second run of a checkpoint: ") && Contains(row.text));
    // Nothing is left behind, and a body that does its part again is welcome.
    CHECK(grad_enabled());
    CHECK_FALSE(autograd::is_recomputing());
    CHECK(default_generator().state() == random);
    again = false;
    CHECK(gradient_of(x, y) == gradient_of(x, first(x)));
  }
}

TEST_CASE("checkpoint: what the body reads must not change before backward", "[contract]") {
  const Tensor x = leaf({1, 2});
  const Tensor factor = ones({2}, {.dtype = f64});
  const auto body = [&](const Tensor& in) { return exp(in * factor); };
  const Tensor start = x * 1.0;
  const Tensor y = checkpoint(body, start);
  SECTION("its input") {
    start.detach().mul_(2);
    CHECK_THROWS_WITH(y.sum().backward(),
                      Contains("checkpoint: its input 0 (f64[2]" + test::on_test_device() + ")") &&
                          Contains("changed in place by mul_"));
  }
  SECTION("a view of its input") {
    start.detach().slice(0, 0, 1).zero_();
    CHECK_THROWS_WITH(y.sum().backward(), Contains("changed in place by fill_"));
  }
  SECTION("a tensor from outside") {
    factor.add_(factor);
    CHECK_THROWS_WITH(y.sum().backward(),
                      Contains("f64[2]") && Contains("add_ has changed in place"));
  }
  SECTION("its result may, which is not kept") {
    y.detach().zero_();
    CHECK_NOTHROW(y.sum().backward());
    CHECK(x.grad().to_vector() == gradient_of(x, body(x)));
  }
}

TEST_CASE("checkpoint: exceptions in the body leave nothing behind", "[contract]") {
  const Tensor x = leaf({1, 2});
  const std::int64_t before = activations();
  const auto broken = [](const Tensor& in) -> Tensor {
    exp(in);
    throw std::runtime_error("not today");
  };
  CHECK_THROWS_WITH(checkpoint(broken, x), "not today");
  CHECK(activations() == before);
  // Nothing is dropped any more: a saved result is watched again.
  const Tensor y = exp(x);
  y.detach().zero_();
  CHECK_THROWS_WITH(y.sum().backward(), Contains("exp: its output 0"));
}

TEST_CASE("checkpoint: a body that catches everything gets its gradients, too", "[contract]") {
  const Tensor x = leaf({1, 2});
  const auto body = [](const Tensor& in) {
    try {
      return tanh(exp(in));
    } catch (...) {
      return tanh(exp(in));
    }
  };
  CHECK(gradient_of(x, checkpoint(body, x)) == gradient_of(x, tanh(exp(x))));
}

TEST_CASE("checkpoint: hooks that the body registers run once", "[contract]") {
  const Tensor x = leaf({1, 2});
  int calls = 0;
  const auto body = [&](const Tensor& in) {
    const Tensor y = exp(in);
    y.register_hook([&](const Tensor& grad) {
      ++calls;
      return grad * 10;
    });
    return tanh(y);
  };
  const Values actual = gradient_of(x, checkpoint(body, x));
  CHECK(calls == 1);
  CHECK(actual == gradient_of(x, body(x)));
}

TEST_CASE("checkpoint: saved-tensor hooks around it get the input, those within all",
          "[contract]") {
  const Tensor x = leaf({1, 2});
  int packed = 0;
  const auto pack = [&](const Tensor& saved) {
    ++packed;
    return [saved] { return saved; };
  };
  Tensor y;
  SECTION("around") {
    const autograd::SavedTensorHooks hooks(pack);
    y = checkpoint([](const Tensor& in) { return tanh(exp(in)); }, x);
    CHECK(packed == 1);
  }
  SECTION("within: nothing is left for the checkpoint to compute again") {
    y = checkpoint(
        [&](const Tensor& in) {
          const autograd::SavedTensorHooks hooks(pack);
          return tanh(exp(in));
        },
        x);
    CHECK(packed == 2);
  }
  const int before = packed;
  CHECK(gradient_of(x, y) == gradient_of(x, tanh(exp(x))));
  CHECK(packed == before);
}

TEST_CASE("checkpoint: goes with its graph", "[contract]") {
  const std::int64_t before = activations();
  {
    const Tensor x = leaf(Values(100, 1));
    const Tensor y = checkpoint([](const Tensor& in) { return exp(tanh(in)); }, x);
    y.sum().backward();
    CHECK_THROWS_WITH(y.sum().backward(), Contains("already freed"));
    checkpoint([](const Tensor& in) { return exp(in); }, y);  // never run backwards
  }
  CHECK(activations() == before);
}

TEST_CASE("checkpoint: fake tensors pass through", "[contract]") {
  const Tensor x = fake({2, 3}, {.requires_grad = true});
  const Tensor y = checkpoint([](const Tensor& in) { return matmul(exp(in), in.t()); }, x);
  CHECK(y.is_fake());
  CHECK(y.shape() == Shape{2, 2});
}

TEST_CASE("checkpoint: random programs give the same bits with them and without", "[contract]") {
  INFO("MINIDL_TEST_SEED=" << minidl::test::test_seed());
  for (unsigned program = 0; program < 80; ++program) {
    const unsigned seed = minidl::test::test_seed() + program;
    CAPTURE(seed);
    const Tensor x = leaf({-1, 0.3, 2});
    const Tensor y = leaf({0.5, -2, 1});
    const auto run = [&](bool checkpoints) {
      x.zero_grad();
      y.zero_grad();
      manual_seed(seed);
      const Tensors results = random_program(seed, {x, y}, 3, checkpoints);
      const Tensor sum = (results[0] + results[1]).sum();
      sum.backward({}, /*retain_graph=*/true);
      sum.backward();
      const auto gradient = [](const Tensor& t) {
        return t.grad().defined() ? t.grad().to_vector() : Values();
      };
      return std::vector<Values>{sum.to_vector(), gradient(x), gradient(y)};
    };
    const std::int64_t before = activations();
    const std::vector<Values> expected = run(false);
    CHECK(run(true) == expected);
    CHECK(activations() == before);
  }
}
