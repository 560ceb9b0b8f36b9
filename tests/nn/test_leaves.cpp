// The contract of leaves (nn/leaves.h): hooks on modules see the tensors within whatever forward
// takes and returns: tensors, vectors, optionals, pairs, tuples, nests of these, and structs of a
// user's own beside which `visit_leaves` stands. Backward hooks put others in their place, so all
// of these can be written to as well as read.

#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "minidl/core/ops/elementwise.h"
#include "minidl/nn/leaves.h"
#include "minidl/nn/module.h"
#include "tests/catch.h"

using namespace minidl;
using Values = std::vector<double>;

namespace minidl_test_user {

// A struct of a user's own, in a namespace of their own.
struct Attention {
  Tensor output;
  Tensor weights;
  int heads = 1;
};

void visit_leaves(Attention& value, const nn::LeafVisitor& visit) {
  nn::visit_all(visit, value.output, value.weights);
}

}  // namespace minidl_test_user

namespace {

using Result = std::tuple<Tensor, std::vector<minidl_test_user::Attention>>;

struct Mixed : nn::Module<Mixed> {
  Result forward(const Tensor& x, const std::optional<Tensor>& mask,
                 const std::pair<Tensor, int>& state, double factor) {
    const Tensor y = x * factor;
    return {mask ? y * *mask : y, {{y, state.first}}};
  }
};

}  // namespace

TEST_CASE("leaves: leaves_of finds tensors in every nest and nothing else", "[contract]") {
  const Tensor t = ones({1});
  using minidl_test_user::Attention;
  CHECK(nn::leaves_of().empty());
  CHECK(nn::leaves_of(1, std::string("x"), 2.5).empty());
  CHECK(nn::leaves_of(t, Tensor()).size() == 1);
  CHECK(nn::leaves_of(Tensors{t, t, Tensor()}).size() == 2);
  CHECK(nn::leaves_of(std::pair(t, 3), std::tuple(t, std::optional(t))).size() == 3);
  CHECK(nn::leaves_of(std::vector<Attention>{{t, t}, {t, t}}).size() == 4);
  CHECK(nn::leaves_of(std::vector<bool>{true}).empty());
}

TEST_CASE("leaves: replace_leaves puts others in their place", "[contract]") {
  using minidl_test_user::Attention;
  std::tuple<Attention, std::optional<Tensor>, int> value{{ones({1}), Tensor(), 4}, ones({2}), 7};
  nn::replace_leaves({zeros({3}), zeros({4})}, value);
  CHECK(std::get<0>(value).output.shape() == Shape{3});
  CHECK_FALSE(std::get<0>(value).weights.defined());
  CHECK(std::get<0>(value).heads == 4);
  CHECK(std::get<1>(value)->shape() == Shape{4});
}

TEST_CASE("leaves: module hooks see the tensors in tuples, optionals and the user's structs",
          "[contract]") {
  Mixed mixed;
  std::size_t inputs = 0;
  std::size_t outputs = 0;
  mixed.register_forward_hook([&](nn::ModuleBase&, const Tensors& in, const Tensors& out) {
    inputs = in.size();
    outputs = out.size();
  });
  const Tensor x = ones({2});
  const Result result = mixed(x, std::optional<Tensor>(x), std::pair(x, 1), 3.0);
  CHECK(std::get<0>(result).to_vector() == Values{3, 3});
  CHECK(inputs == 3);
  CHECK(outputs == 3);
  mixed(x, std::nullopt, std::pair(x, 1), 3.0);
  CHECK(inputs == 2);
}

TEST_CASE("leaves: backward hooks reach into structs", "[contract]") {
  Mixed mixed;
  Tensors grad_inputs;
  Tensors grad_outputs;
  mixed.register_full_backward_hook(
      [&](nn::ModuleBase&, const Tensors& inputs, const Tensors& outputs) {
        grad_inputs = inputs;
        grad_outputs = outputs;
      });
  const Tensor x = tensor({1, 2}, {2}, {.requires_grad = true});
  const Tensor state = ones({2}, {.requires_grad = true});
  const auto [y, layers] = mixed(x, std::nullopt, std::pair(state, 1), 3.0);
  (y + layers[0].output * 10 + layers[0].weights * 100).sum().backward();
  REQUIRE(grad_inputs.size() == 2);
  CHECK(grad_inputs[0].to_vector() == Values{33, 33});
  CHECK(grad_inputs[1].to_vector() == Values{100, 100});
  REQUIRE(grad_outputs.size() == 3);
  CHECK(grad_outputs[1].to_vector() == Values{10, 10});
  CHECK(x.grad().to_vector() == Values{33, 33});
}
