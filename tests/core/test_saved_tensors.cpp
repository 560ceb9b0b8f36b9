// The contract of what an operation keeps for its backward. It is the tensor itself, with the
// version it had: a change in place in between, through whichever view or alias, is an error that
// names the operation that saved it and the one that changed it. SavedTensorHooks may keep
// something else instead: `pack` takes the tensor when it is saved, `unpack` gives it or its equal
// back when backward asks, once in each pass. Offloading is one example, checkpoint another.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "minidl/core/autograd/node.h"
#include "minidl/core/grad_mode.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/core/tensor.h"
#include "minidl/kernels/common/error.h"
#include "tests/catch.h"
#include "tests/core/leaf.h"
#include "tests/write_behind.h"

using namespace minidl;
using test::leaf;
using Values = std::vector<double>;

TEST_CASE("in place: changes of tensors that the tape records are refused", "[contract]") {
  const Tensor x = leaf({1, 2});
  const Tensor plain = ones({2}, {.dtype = f64});
  struct Row {
    std::string op;
    std::function<void()> run;
  };
  const std::vector<Row> rows{
      {"fill_", [&] { x.zero_(); }},      {"mul_", [&] { x.mul_(2); }},
      {"add_", [&] { x.add_(plain); }},   {"uniform_", [&] { x.uniform_(); }},
      {"normal_", [&] { x.normal_(); }},  {"copy_", [&] { x.copy_(plain); }},
      {"mul_", [&] { (x * 2).mul_(2); }}, {"copy_", [&] { plain.copy_(x); }},
      {"add_", [&] { plain.add_(x); }}};
  for (const Row& row : rows) {
    INFO(row.op);
    CHECK_THROWS_WITH(row.run(), Contains(row.op + ":") && Contains("NoGradGuard"));
  }
  CHECK(x.to_vector() == Values{1, 2});
  const NoGradGuard off;
  CHECK_NOTHROW(x.mul_(2));
  CHECK(x.to_vector() == Values{2, 4});
}

TEST_CASE("in place: a change of what was saved is reported with both operations", "[contract]") {
  // Every row saves something, has it changed, and runs backward.
  struct Row {
    std::string label;
    std::function<Tensor(const Tensor& x, const Tensor& c)> run;
    std::string saved;
    std::string change;
  };
  const std::vector<Row> rows{
      {"a saved input",
       [](const Tensor& x, const Tensor& c) {
         const Tensor y = x * c;
         c.add_(c);
         return y;
       },
       "mul: its input 1", "add_"},
      {"a saved output",
       [](const Tensor& x, const Tensor&) {
         const Tensor y = exp(x);
         y.detach().zero_();
         return y;
       },
       "exp: its output 0", "fill_"},
      {"through a view",
       [](const Tensor& x, const Tensor& c) {
         const Tensor y = x * c;
         c.slice(0, 0, 1).mul_(2);
         return y;
       },
       "mul: its input 1", "mul_"},
      {"through a view of a view",
       [](const Tensor& x, const Tensor& c) {
         const Tensor y = x * c;
         c.reshape({2, 2}).t().select(0, 1).fill_(7);
         return y;
       },
       "mul: its input 1", "fill_"},
      {"the base of a saved view",
       [](const Tensor& x, const Tensor& c) {
         const Tensor y = matmul(c.reshape({2, 2}).t(), x.reshape({2, 2}));
         c.mul_(2);
         return y;
       },
       "matmul: its input 0", "mul_"},
      {"a detached alias",
       [](const Tensor& x, const Tensor& c) {
         const Tensor alias = c.detach();
         const Tensor y = x * c;
         alias.copy_(ones({4}));
         return y;
       },
       "mul: its input 1", "copy_"},
      {"a leaf, as optimizers change it",
       [](const Tensor& x, const Tensor&) {
         const Tensor y = x * x;
         const NoGradGuard no_grad;
         x.add_(x);
         return y;
       },
       "mul: its input 0", "add_"},
      {"another slice of what was saved: versions are those of the storage",
       [](const Tensor& x, const Tensor& c) {
         const Tensor y = x.slice(0, 0, 2) * c.slice(0, 0, 2);
         c.slice(0, 2, 4).zero_();
         return y;
       },
       "mul: its input 1", "fill_"},
  };
  for (const Row& row : rows) {
    INFO(row.label);
    const Tensor x = leaf({1, 2, 3, 4});
    const Tensor c = tensor({5, 6, 7, 8}, {4}, {.dtype = f64});
    const Tensor y = row.run(x, c);
    CHECK_THROWS_WITH(y.sum().backward(), Contains(row.saved) &&
                                              Contains("changed in place by " + row.change) &&
                                              Contains("clone() it first"));
    CHECK_FALSE(x.grad().defined());
  }
}

TEST_CASE("in place: what backward does not read may change", "[contract]") {
  struct Row {
    std::string label;
    std::function<Tensor(const Tensor& x, const Tensor& c)> run;
    Values gradient;
  };
  const std::vector<Row> rows{
      {"an operand of a sum",
       [](const Tensor& x, const Tensor& c) {
         const Tensor y = x + c;
         c.zero_();
         return y;
       },
       {1, 1}},
      {"the variable beside a constant",
       [](const Tensor& x, const Tensor& c) {
         const Tensor y = x * c;
         x.detach().mul_(2);
         return y;
       },
       {3, 4}},
      {"a copy of what was saved",
       [](const Tensor& x, const Tensor& c) {
         const Tensor y = x * c.clone();
         c.zero_();
         return y;
       },
       {3, 4}},
      {"before it was saved",
       [](const Tensor& x, const Tensor& c) {
         c.mul_(10);
         return x * c;
       },
       {30, 40}},
      {"bytes written behind the back of every operation",
       [](const Tensor& x, const Tensor& c) {
         const Tensor y = x * c;
         test::write_behind(c, Values{9, 4});
         return y;
       },
       {9, 4}},
  };
  for (const Row& row : rows) {
    INFO(row.label);
    const Tensor x = leaf({1, 2});
    const Tensor c = tensor({3, 4}, {2}, {.dtype = f64});
    row.run(x, c).sum().backward();
    CHECK(x.grad().to_vector() == row.gradient);
  }
}

TEST_CASE("saved-tensor hooks: pack takes, unpack brings back", "[contract]") {
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

TEST_CASE("saved-tensor hooks: vouch for changes in place", "[contract]") {
  const Tensor x = leaf({3});
  const Tensor factor = full({1}, 5, {.dtype = f64});
  const autograd::SavedTensorHooks hooks(
      [](const Tensor& saved) { return [copy = saved.clone()] { return copy; }; });
  const Tensor y = x * factor;
  factor.zero_();
  y.backward();
  CHECK(x.grad().item() == 5);
}

TEST_CASE("saved-tensor hooks: the innermost wins, and ends with its scope", "[contract]") {
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

TEST_CASE("saved-tensor hooks: nothing is packed where nothing is recorded", "[contract]") {
  const autograd::SavedTensorHooks hooks(
      [](const Tensor&) -> autograd::SavedTensorHooks::Unpack { throw Error("packed"); });
  CHECK_NOTHROW(exp(ones({1})));
  const NoGradGuard off;
  CHECK_NOTHROW(exp(leaf({1})));
}

TEST_CASE("saved-tensor hooks: offload to other memory and back", "[contract]") {
  const auto activations = [] {
    return memory_stats(default_device())[MemoryTag::activation].current;
  };
  const Tensor x = rand({1000}, {.dtype = f64}).set_requires_grad();
  const auto model = [](const Tensor& in) { return tanh(exp(sigmoid(in))); };
  model(x).backward(ones({1000}, {.dtype = f64}));
  const Values expected = x.grad().to_vector();
  x.zero_grad();

  const std::int64_t before = activations();
  Tensor y;
  {
    const autograd::SavedTensorHooks hooks([](const Tensor& saved) {
      const auto away = std::make_shared<Values>(saved.to_vector());
      return [away, shape = saved.shape()] { return tensor(*away, shape, {.dtype = f64}); };
    });
    y = model(x);
  }
  CHECK(activations() - before == 8000);  // y; of three saved tensors nothing is left here
  y.backward(ones({1000}, {.dtype = f64}));
  CHECK(x.grad().to_vector() == expected);
}

TEST_CASE("saved-tensor hooks: unpack is called once a pass, and goes with the graph",
          "[contract]") {
  const Tensor x = leaf({3});
  int unpacked = 0;
  const auto held = std::make_shared<int>(0);
  Tensor y;
  {
    const autograd::SavedTensorHooks hooks([&](const Tensor& saved) {
      return [&unpacked, saved, held] {
        ++unpacked;
        return saved;
      };
    });
    y = maximum(x, x * 2);  // its backward reads each operand twice
  }
  CHECK(held.use_count() == 3);
  y.backward({}, /*retain_graph=*/true);
  CHECK(unpacked == 2);
  y.backward();
  CHECK(unpacked == 4);
  CHECK(held.use_count() == 1);
  CHECK(x.grad().item() == 4);
}

TEST_CASE("saved-tensor hooks: what one declines is offered further out, then kept", "[contract]") {
  std::vector<std::string> offered;
  const auto pack = [&](const char* label, bool takes) {
    return [&offered, label, takes](const Tensor& saved) -> autograd::SavedTensorHooks::Unpack {
      offered.emplace_back(label);
      if (!takes) return {};
      return [saved] { return saved; };
    };
  };
  const Tensor x = leaf({3});
  const Tensor c = leaf({5}).detach();
  Tensor kept;
  Tensor taken;
  {
    const autograd::SavedTensorHooks outer(pack("outer", false));
    const autograd::SavedTensorHooks inner(pack("inner", false));
    kept = x * c;
  }
  CHECK(offered == std::vector<std::string>{"inner", "outer"});
  {
    const autograd::SavedTensorHooks outer(pack("outer takes", true));
    const autograd::SavedTensorHooks inner(pack("inner", false));
    taken = x * c;
  }
  CHECK(offered.back() == "outer takes");
  c.zero_();
  CHECK_THROWS_WITH(kept.backward(), Contains("changed in place by fill_"));
  CHECK_NOTHROW(taken.backward());
}

TEST_CASE("saved-tensor hooks: errors of pack and unpack come through", "[contract]") {
  const Tensor x = leaf({3});
  {
    const autograd::SavedTensorHooks hooks(
        [](const Tensor&) -> autograd::SavedTensorHooks::Unpack { throw Error("disk full"); });
    CHECK_THROWS_WITH(exp(x), Contains("disk full"));
  }
  Tensor y;
  Tensor z;
  {
    const autograd::SavedTensorHooks hooks(
        [](const Tensor&) { return []() -> Tensor { throw Error("disk gone"); }; });
    y = exp(x);
  }
  {
    const autograd::SavedTensorHooks hooks([](const Tensor&) { return [] { return Tensor(); }; });
    z = exp(x);
  }
  CHECK_THROWS_WITH(y.backward(), Contains("backward of exp") && Contains("disk gone"));
  CHECK_THROWS_WITH(z.backward(), Contains("exp") && Contains("nothing back for its output 0"));
}
