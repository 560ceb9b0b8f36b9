// The contract: a module takes several inputs, a mask among them, and returns a tuple; hooks see
// all the leaves.
//
// `Module<Self>` gives the call operator: what you hand to module(...) goes to Self::forward as it
// is, and what forward returns comes back as it is. Neither has to be one tensor. Hooks around the
// call do not know your types; they see the tensors in them, flattened in order: the leaves.
// MultiheadAttention serves as the example: (query, key, value, mask) -> (output, weights).

#include <cmath>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "minidl/core/ops/elementwise.h"
#include "minidl/core/random.h"
#include "minidl/nn/modules/attention.h"
#include "tests/catch.h"
#include "tests/finite_differences.h"
#include "tests/random_views.h"

using namespace minidl;
using Values = std::vector<double>;

namespace user {

/// What a user's own module returns: a struct instead of a tuple.
struct Attended {
  Tensor output;
  Tensor weights;
  std::int64_t heads = 0;
};

/// The customisation point: found beside the struct, it visits the tensors that are in there.
void visit_leaves(Attended& value, const nn::LeafVisitor& visit) {
  nn::visit_all(visit, value.output, value.weights);
}

}  // namespace user

namespace {

constexpr std::int64_t kBatch = 2;    // N
constexpr std::int64_t kQueries = 3;  // L
constexpr std::int64_t kKeys = 4;     // S
constexpr std::int64_t kWidth = 6;    // E
const nn::MultiheadAttentionOptions kOptions{.embed_dim = kWidth, .heads = 2};

struct Inputs {
  Tensor query = randn({kBatch, kQueries, kWidth}, {.dtype = f64});
  Tensor key = randn({kBatch, kKeys, kWidth}, {.dtype = f64});
  Tensor value = randn({kBatch, kKeys, kWidth}, {.dtype = f64});
  // The second sequence has two keys only; the other two are padding.
  Tensor padding = tensor({1, 1, 1, 1,  //
                           1, 1, 0, 0},
                          {kBatch, 1, 1, kKeys}, {.dtype = boolean});
};

/// Seeds the generator and tells with what: MINIDL_TEST_SEED repeats a run.
unsigned fresh_numbers() {
  manual_seed(test::test_seed());
  return test::test_seed();
}

/// In double precision, and with biases that are not zero.
struct Attention : nn::MultiheadAttention {
  Attention() : MultiheadAttention(kOptions) {
    to(f64);
    for (const Tensor& parameter : parameters()) parameter.detach().normal_(0, 0.5);
  }
};

bool all_finite(const Tensor& tensor) {
  for (const double value : tensor.to_vector()) {
    if (!std::isfinite(value)) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("attention contract: several inputs, a tuple back", "[contract]") {
  INFO("MINIDL_TEST_SEED=" << fresh_numbers());
  nn::MultiheadAttention attention(kOptions);
  const Tensor query = randn({kBatch, kQueries, kWidth});
  const Tensor memory = randn({kBatch, kKeys, kWidth});
  const auto [output, weights] = attention(query, memory, memory);
  CHECK(output.shape() == Shape{kBatch, kQueries, kWidth});
  CHECK(weights.shape() == Shape{kBatch, kQueries, kKeys});
  for (const double sum : weights.sum({2}).to_vector()) CHECK(sum == Approx(1));
}

TEST_CASE("attention contract: the mask may be left out", "[contract]") {
  INFO("MINIDL_TEST_SEED=" << fresh_numbers());
  Attention attention;
  const Inputs in;
  const auto [output, weights] = attention(in.query, in.key, in.value);
  const Tensor everything = ones({kQueries, kKeys}, {.dtype = boolean});
  for (const Tensor& mask : {Tensor(), everything}) {
    const auto [same_output, same_weights] = attention(in.query, in.key, in.value, mask);
    CHECK(same_output.to_vector() == output.to_vector());
    CHECK(same_weights.to_vector() == weights.to_vector());
  }
}

TEST_CASE("attention contract: hooks see every input and every result, in order", "[contract]") {
  INFO("MINIDL_TEST_SEED=" << fresh_numbers());
  Attention attention;
  const Inputs in;
  Tensors before;
  Tensors after;
  Tensors results;
  attention.register_forward_pre_hook(
      [&](nn::ModuleBase&, const Tensors& inputs) { before = inputs; });
  attention.register_forward_hook(
      [&](nn::ModuleBase&, const Tensors& inputs, const Tensors& outputs) {
        after = inputs;
        results = outputs;
      });

  const auto [output, weights] = attention(in.query, in.key, in.value, in.padding);
  for (const Tensors& inputs : {before, after}) {
    REQUIRE(inputs.size() == 4);
    CHECK(inputs[0].is_same(in.query));
    CHECK(inputs[1].is_same(in.key));
    CHECK(inputs[2].is_same(in.value));
    CHECK(inputs[3].is_same(in.padding));
  }
  REQUIRE(results.size() == 2);
  CHECK(results[0].is_same(output));
  CHECK(results[1].is_same(weights));

  // An operand that is not given is no leaf.
  attention(in.query, in.key, in.value);
  CHECK(before.size() == 3);
  CHECK(results.size() == 2);
}

TEST_CASE("attention contract: a result that is not wanted is no leaf either", "[contract]") {
  nn::MultiheadAttention attention({.embed_dim = kWidth, .heads = 2, .need_weights = false});
  std::size_t results = 0;
  attention.register_forward_hook(
      [&](nn::ModuleBase&, const Tensors&, const Tensors& outputs) { results = outputs.size(); });
  const Tensor x = ones({kBatch, kQueries, kWidth});
  const auto [output, weights] = attention(x, x, x);
  CHECK(output.defined());
  CHECK_FALSE(weights.defined());
  CHECK(results == 1);
}

TEST_CASE("attention contract: what is masked changes nothing", "[contract]") {
  INFO("MINIDL_TEST_SEED=" << fresh_numbers());
  Attention attention;
  const Inputs in;
  const auto [output, weights] = attention(in.query, in.key, in.value, in.padding);
  const Tensor second = weights.select(0, 1);
  CHECK(second.slice(1, 2, kKeys).to_vector() == Values(2 * kQueries, 0));
  CHECK(second.slice(1, 0, 2).amin().item() > 0);

  // Other numbers at the padded positions of the second sequence.
  for (const Tensor& operand : {in.key, in.value}) {
    operand.select(0, 1).slice(0, 2, kKeys).copy_(randn({2, kWidth}, {.dtype = f64}) * 100);
  }
  const auto [same_output, same_weights] = attention(in.query, in.key, in.value, in.padding);
  CHECK(same_output.to_vector() == output.to_vector());
  CHECK(same_weights.to_vector() == weights.to_vector());
}

TEST_CASE("attention contract: gradients of all inputs and parameters, with a mask", "[contract]") {
  INFO("MINIDL_TEST_SEED=" << fresh_numbers());
  Attention attention;
  const Inputs in;
  // One number made of both results, each element with a weight of its own.
  const Tensor output_share = randn({kBatch, kQueries, kWidth}, {.dtype = f64});
  const Tensor weights_share = randn({kBatch, kQueries, kKeys}, {.dtype = f64});
  auto loss = [&] {
    const auto [output, weights] = attention(in.query, in.key, in.value, in.padding);
    return (output * output_share).sum() + (weights * weights_share).sum();
  };

  Tensors learned = attention.parameters();
  for (const Tensor& input : {in.query, in.key, in.value}) {
    learned.push_back(input.set_requires_grad());
  }
  loss().backward();

  for (std::size_t which = 0; which < learned.size(); ++which) {
    const Values gradient = learned[which].grad().to_vector();
    const Values expected = test::finite_differences(learned[which], [&] { return loss().item(); });
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      INFO("tensor " << which << ", element " << i);
      CHECK(gradient[i] == Approx(expected[i]).epsilon(1e-6).margin(1e-7));
    }
  }
}

TEST_CASE("attention contract: a query without any key gets zeros, not NaN", "[contract]") {
  INFO("MINIDL_TEST_SEED=" << fresh_numbers());
  Attention attention;
  attention.out_proj.bias.detach().zero_();  // what is left where nothing was looked at
  const Inputs in;
  // The first query of every sequence may look at no key.
  const Tensor mask = tensor({0, 1, 1}, {kQueries, 1}, {.dtype = boolean});
  in.query.set_requires_grad();
  const auto [output, weights] = attention(in.query, in.key, in.value, mask);
  CHECK(output.select(1, 0).to_vector() == Values(kBatch * kWidth, 0));
  CHECK(weights.select(1, 0).to_vector() == Values(kBatch * kKeys, 0));

  output.sum().backward();
  CHECK(in.query.grad().select(1, 0).to_vector() == Values(kBatch * kWidth, 0));
  CHECK(all_finite(in.query.grad()));
  for (const Tensor& parameter : attention.parameters()) CHECK(all_finite(parameter.grad()));
}

TEST_CASE("attention contract: a struct of your own says where its tensors are", "[contract]") {
  INFO("MINIDL_TEST_SEED=" << fresh_numbers());
  struct Reader : nn::Module<Reader> {
    nn::MultiheadAttention attention{*this, "attention", kOptions};

    user::Attended forward(const Tensor& text, const Tensor& mask) {
      const auto [output, weights] = attention(text, text, text, mask);
      return {output, weights, kOptions.heads};
    }
  };
  Reader reader;
  Tensors inputs;
  Tensors outputs;
  std::size_t inner_inputs = 0;
  reader.register_forward_hook([&](nn::ModuleBase&, const Tensors& in, const Tensors& out) {
    inputs = in;
    outputs = out;
  });
  reader.attention.register_forward_pre_hook(
      [&](nn::ModuleBase&, const Tensors& in) { inner_inputs = in.size(); });

  const Tensor text = randn({kBatch, kQueries, kWidth});
  const Tensor mask = ones({kQueries, kQueries}, {.dtype = boolean});
  const user::Attended result = reader(text, mask);
  REQUIRE(inputs.size() == 2);
  CHECK(inputs[1].is_same(mask));
  REQUIRE(outputs.size() == 2);
  CHECK(outputs[0].is_same(result.output));
  CHECK(outputs[1].is_same(result.weights));
  CHECK(inner_inputs == 4);  // the same tensor three times, and the mask

  // Errors say which module refused what.
  CHECK_THROWS_WITH(reader(text, ones({7}, {.dtype = boolean})),
                    Contains("attention: MultiheadAttention: the mask") && Contains("not [7]"));
}
