// Attention without its scores in memory: equal to the composition that writes them out, across the
// borders of tiles, whatever the mask; the same bits with any number of threads; and memory that
// grows with the length, not with its square.

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "minidl/core/ops/attention.h"
#include "minidl/core/ops/comparison.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/random.h"
#include "minidl/core/threads.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::test;
using Values = std::vector<double>;

namespace {

struct Operands {
  Tensor q, k, v;

  Operands(const Shape& of_q, const Shape& of_k, const Shape& of_v, DType dtype = f64)
      : q(random(of_q, dtype)), k(random(of_k, dtype)), v(random(of_v, dtype)) {}

 private:
  static Tensor random(const Shape& shape, DType dtype) {
    return randn(shape, {.dtype = dtype, .requires_grad = true});
  }
};

Tensor random_mask(const Shape& shape) {
  return rand(shape) < 0.7;
}

/// The output and the gradients of q, k and v for a weighted sum of it.
Tensors results_of(const Operands& in, const Tensor& output, const Tensor& weights) {
  for (const Tensor& x : {in.q, in.k, in.v}) x.zero_grad();
  output.backward(weights);
  Tensors results{output.detach()};
  for (const Tensor& x : {in.q, in.k, in.v}) results.push_back(x.grad().clone());
  return results;
}

double distance(const Tensor& a, const Tensor& b) {
  return a.numel() == 0 ? 0 : abs(a.detach() - b.detach()).amax().item();
}

struct Case {
  std::string what;
  Shape q, k, v;
  Shape mask = {};
  bool causal = false;
  double dropout = 0;
};

// Tiles have 64 queries and 256 keys.
const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {"a tile", {64, 8}, {256, 8}, {256, 8}},
      {"less by one", {63, 8}, {255, 8}, {255, 8}, {63, 255}},
      {"more by one", {65, 3}, {257, 3}, {257, 5}, {65, 257}},
      {"several tiles", {2, 130, 4}, {2, 600, 4}, {2, 600, 7}, {130, 1}},
      {"causal", {2, 300, 4}, {2, 300, 4}, {2, 300, 4}, {}, true},
      {"causal, few keys", {300, 4}, {70, 4}, {70, 4}, {}, true},
      {"causal, many keys", {70, 4}, {300, 4}, {300, 4}, {300}, true},
      {"dropout", {3, 130, 4}, {3, 270, 4}, {3, 270, 4}, {}, false, 0.3},
      {"all of it", {2, 3, 130, 4}, {2, 3, 270, 4}, {2, 3, 270, 4}, {2, 1, 1, 270}, true, 0.5},
      {"stretched keys", {2, 3, 70, 4}, {3, 270, 4}, {2, 1, 270, 4}, {3, 1, 270}, true},
      {"dropping everything", {70, 4}, {70, 4}, {70, 4}, {}, false, 1},
      {"one key", {70, 4}, {1, 4}, {1, 4}},
      {"one query", {1, 4}, {300, 4}, {300, 4}, {300}},
  };
  return all;
}

}  // namespace

TEST_CASE("attention tiles: equal to the composition, and so are the gradients",
          "[attention][cpu]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  manual_seed(test_seed());
  for (const DType dtype : {f64, f32}) {
    for (const Case& c : cases()) {
      INFO(c.what << " " << name(dtype));
      const Operands in(c.q, c.k, c.v, dtype);
      AttentionOptions options{.dropout = c.dropout, .causal = c.causal};
      if (!c.mask.empty()) options.mask = random_mask(c.mask);
      manual_seed(7);
      const auto [expected, unused] = attention_with_weights(in.q, in.k, in.v, options);
      manual_seed(7);
      const Tensor output = scaled_dot_product_attention(in.q, in.k, in.v, options);
      REQUIRE(output.shape() == expected.shape());
      const Tensor weights = randn(output.shape(), {.dtype = dtype});
      const Tensors wanted = results_of(in, expected, weights);
      const Tensors actual = results_of(in, output, weights);
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        CAPTURE(i);
        const double size = abs(wanted[i]).amax().item();
        CHECK(distance(actual[i], wanted[i]) <= (dtype == f64 ? 1e-13 : 2e-5) * (1 + size));
      }
    }
  }
}

TEST_CASE("attention tiles: every layout of the operands and of the gradient", "[attention][cpu]") {
  manual_seed(test_seed());
  const Operands in({2, 3, 70, 8}, {2, 3, 270, 8}, {2, 3, 270, 8});
  const Tensor weights = randn({2, 3, 70, 8}, {.dtype = f64});
  const Tensors wanted = results_of(in, scaled_dot_product_attention(in.q, in.k, in.v), weights);
  struct Row {
    const char* what;
    std::function<Tensor(const Tensor&)> laid_out;
  };
  const Row rows[] = {
      {"heads inside",
       [](const Tensor& x) { return x.transpose(1, 2).contiguous().transpose(1, 2); }},
      {"columns", [](const Tensor& x) { return x.transpose(2, 3).contiguous().transpose(2, 3); }},
      {"every other",
       [](const Tensor& x) { return (x.repeat_interleave(2, 3)).slice(3, 0, 16, 2); }},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    const Tensor output =
        scaled_dot_product_attention(row.laid_out(in.q), row.laid_out(in.k), row.laid_out(in.v));
    const Tensors actual = results_of(in, output, row.laid_out(weights));
    for (std::size_t i = 0; i < wanted.size(); ++i) CHECK(distance(actual[i], wanted[i]) < 1e-12);
  }
  const Tensor q = rows[0].laid_out(in.q);
  const bool tiled = q.device().is_cpu();
  if (tiled) CHECK(scaled_dot_product_attention(q, in.k, in.v).strides() == q.strides());
  const Tensors sums = results_of(in, scaled_dot_product_attention(in.q, in.k, in.v),
                                  ones({}, {.dtype = f64}).expand({2, 3, 70, 8}));
  for (const Tensor& x : sums) CHECK(std::isfinite(x.sum().item()));
}

TEST_CASE("attention tiles: the same bits with any number of threads", "[attention][cpu]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  manual_seed(test_seed());
  const int before = num_threads();
  for (const std::int64_t batch : {1, 2, 3, 5}) {
    for (const DType dtype : {f64, f32}) {
      const Operands in({batch, 200, 8}, {batch, 600, 8}, {batch, 600, 8}, dtype);
      const Tensor weights = randn({batch, 200, 8}, {.dtype = dtype});
      const Tensor mask = random_mask({200, 600});
      std::vector<Values> first;
      for (const int threads : {1, 2, 3, 4}) {
        CAPTURE(batch, threads);
        set_num_threads(threads);
        manual_seed(3);
        const Tensor output = scaled_dot_product_attention(
            in.q, in.k, in.v, {.mask = mask, .dropout = 0.2, .causal = true});
        std::vector<Values> bits;
        for (const Tensor& x : results_of(in, output, weights)) bits.push_back(x.to_vector());
        if (first.empty()) first = bits;
        CHECK(bits == first);
      }
    }
  }
  set_num_threads(before);
}

TEST_CASE("attention tiles: only what needs a gradient gets one", "[attention][cpu]") {
  for (int wanted = 1; wanted < 8; ++wanted) {
    CAPTURE(wanted);
    const Operands all({70, 4}, {270, 4}, {270, 4});
    const Tensor weights = randn({70, 4}, {.dtype = f64});
    const Tensors expected =
        results_of(all, scaled_dot_product_attention(all.q, all.k, all.v), weights);
    Tensors some{all.q.detach().clone(), all.k.detach().clone(), all.v.detach().clone()};
    for (std::size_t i = 0; i < 3; ++i) {
      if (wanted & (1 << i)) some[i].set_requires_grad();
    }
    scaled_dot_product_attention(some[0], some[1], some[2]).backward(weights);
    for (std::size_t i = 0; i < 3; ++i) {
      REQUIRE(some[i].grad().defined() == ((wanted & (1 << i)) != 0));
      if (some[i].grad().defined()) CHECK(distance(some[i].grad(), expected[i + 1]) < 1e-13);
    }
  }
}

TEST_CASE("attention tiles: large scores do not overflow, NaN is not hidden", "[attention][cpu]") {
  for (const DType dtype : {f64, f32}) {
    const Operands in({70, 4}, {600, 4}, {600, 4}, dtype);
    const AttentionOptions sharp{.scale = 1e4};
    const Tensor expected = attention_with_weights(in.q, in.k, in.v, sharp).output;
    CHECK(distance(scaled_dot_product_attention(in.q, in.k, in.v, sharp), expected) < 1e-2);
    const Tensor q = in.q.detach().clone();
    q.select(0, 3).fill_(NAN);
    const Tensor output = scaled_dot_product_attention(q, in.k.detach(), in.v.detach());
    CHECK(isnan(output.select(0, 3)).to(f64).mean().item() == 1);
    CHECK(isnan(output).to(f64).sum().item() == 4);
  }
}

TEST_CASE("attention tiles: memory grows with the length, not with its square",
          "[attention][cpu]") {
  if (!default_device().is_cpu()) return;
  // of forward and backward together, less the operands
  auto peak = [](std::int64_t length, bool with_weights) {
    const Operands in({2, length, 16}, {2, length, 16}, {2, length, 16}, f32);
    const Tensor mask = random_mask({length});
    const AttentionOptions options{.mask = mask, .dropout = 0.1, .causal = true};
    Allocator& memory = allocator(cpu);
    memory.reset_peaks();
    const std::int64_t before = memory.stats().total.current;
    const Tensor y = with_weights ? attention_with_weights(in.q, in.k, in.v, options).output
                                  : scaled_dot_product_attention(in.q, in.k, in.v, options);
    y.sum().backward();
    return static_cast<double>(memory.stats().total.peak - before);
  };
  const int threads = num_threads();
  set_num_threads(1);  // each has tiles of its own
  // The output, its gradient made dense, three gradients of operands, and two numbers for each row.
  auto linear = [](std::int64_t length) {
    return 2.0 * static_cast<double>(length) * (5 * 16 + 2) * 4;
  };
  constexpr double kTiles = 3 * 64 * 256 * 4;
  for (const std::int64_t length : {256, 512, 1024, 2048}) {
    CAPTURE(length);
    CHECK(peak(length, false) <= linear(length) + kTiles + 4096);
  }
  CHECK(peak(2048, false) - kTiles < 2.2 * (peak(1024, false) - kTiles));
  CHECK(peak(1024, true) > 3.5 * peak(512, true));
  set_num_threads(threads);
}

TEST_CASE("attention tiles: errors name the operands", "[attention][cpu]") {
  const Tensor x = ones({2, 3, 4});
  auto attend = [](const Tensor& q, const Tensor& k, const Tensor& v,
                   const AttentionOptions& options = {}) {
    scaled_dot_product_attention(q, k, v, options);
  };
  CHECK_THROWS_WITH(attend(ones({4}), x, x), Contains("[..., L, E]") && Contains("[4]"));
  CHECK_THROWS_WITH(attend(x, ones({2, 3, 5}), x), Contains("[2, 3, 5]"));
  CHECK_THROWS_WITH(attend(x, x, ones({2, 4, 4})), Contains("[2, 4, 4]"));
  CHECK_THROWS_WITH(attend(x, x, x.to(f64)), Contains("f64"));
  CHECK_THROWS_WITH(attend(x, x, x, {.mask = ones({3, 3})}), Contains("bool") && Contains("f32"));
  CHECK_THROWS_WITH(attend(x, x, x, {.mask = ones({4, 3}, {.dtype = boolean})}),
                    Contains("[4, 3]"));
  CHECK_THROWS_WITH(attend(x, x, x, {.mask = ones({5, 2, 3, 3}, {.dtype = boolean})}),
                    Contains("[5, 2, 3, 3]"));
  CHECK_THROWS_WITH(attend(x, x, x, {.dropout = 1.5}), Contains("dropout") && Contains("1.5"));
  CHECK_THROWS_WITH(attend(x.to(i32), x.to(i32), x.to(i32)), Contains("i32"));
}
