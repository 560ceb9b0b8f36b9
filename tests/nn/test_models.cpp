// The image models: shapes, names, sizes, and that they learn.

#include <string>
#include <vector>

#include "minidl/core/ops/softmax.h"
#include "minidl/core/random.h"
#include "minidl/nn/models/cnn.h"
#include "minidl/nn/optim/sgd.h"
#include "tests/catch.h"

using namespace minidl;

namespace {

std::vector<std::string> names_of(const StateDict& state) {
  std::vector<std::string> names;
  for (const auto& entry : state) names.push_back(entry.name);
  return names;
}

template <class Model>
void check_learns(Model& model, const Shape& images, double lr, int steps) {
  manual_seed(0);
  const Tensor x = randn(images);
  const Tensor y = arange(images[0]);
  optim::SGD sgd(model.parameters(), {.lr = lr, .momentum = 0.9});
  double first = 0;
  double last = 0;
  for (int step = 0; step < steps; ++step) {
    sgd.zero_grad();
    const Tensor loss = cross_entropy(model(x), y);
    loss.backward();
    sgd.step();
    last = loss.item();
    if (step == 0) first = last;
  }
  CHECK(last < 0.9 * first);
}

}  // namespace

TEST_CASE("tiny_cnn: names, sizes and shapes", "[models]") {
  nn::TinyCnn model;
  CHECK(names_of(model.state_dict()) ==
        std::vector<std::string>{"conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias",
                                 "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"});
  CHECK(model.parameter_count() == 896 + 18'496 + 2'097'280 + 1'290);
  CHECK(model(zeros({2, 3, 32, 32})).shape() == Shape{2, 10});
  CHECK(model(zeros({0, 3, 32, 32})).shape() == Shape{0, 10});
}

TEST_CASE("tiny_cnn: takes images of any size", "[models]") {
  nn::TinyCnn gray({.channels = 1, .height = 28, .width = 28, .classes = 7});
  CHECK(gray.parameter_count() == 320 + 18'496 + 1'605'760 + 903);
  CHECK(gray(zeros({1, 1, 28, 28})).shape() == Shape{1, 7});
  nn::TinyCnn odd({.channels = 2, .height = 9, .width = 5});
  CHECK(odd(zeros({1, 2, 9, 5})).shape() == Shape{1, 10});
}

TEST_CASE("tiny_cnn: images of another size name the layer", "[models]") {
  nn::TinyCnn model;
  CHECK_THROWS_WITH(model(zeros({1, 3, 28, 28})), Contains("fc1: linear:"));
  CHECK_THROWS_WITH(model(zeros({1, 1, 32, 32})), Contains("conv1: conv2d:"));
}

TEST_CASE("tiny_cnn: dropout acts in training only", "[models]") {
  manual_seed(1);
  nn::TinyCnn model({.channels = 1, .height = 8, .width = 8});
  const Tensor x = ones({1, 1, 8, 8});
  CHECK(model(x).to_vector() != model(x).to_vector());
  model.eval();
  CHECK(model(x).to_vector() == model(x).to_vector());
}

TEST_CASE("tiny_cnn: a few steps lower the loss", "[models]") {
  manual_seed(0);
  nn::TinyCnn model({.channels = 1, .height = 12, .width = 12});
  model.dropout1.eval();
  model.dropout2.eval();
  check_learns(model, {4, 1, 12, 12}, 0.05, 6);
}

TEST_CASE("vgg11_cifar: torchvision's numbering, a head of its own", "[models]") {
  nn::Vgg11Cifar model;
  std::vector<std::string> expected;
  for (const int conv : {0, 4, 8, 11, 15, 18, 22, 25}) {
    const std::string norm = "features." + std::to_string(conv + 1);
    expected.push_back("features." + std::to_string(conv) + ".weight");
    for (const char* part :
         {".weight", ".bias", ".running_mean", ".running_var", ".num_batches_tracked"}) {
      expected.push_back(norm + part);
    }
  }
  expected.emplace_back("classifier.weight");
  expected.emplace_back("classifier.bias");
  CHECK(names_of(model.state_dict()) == expected);
  CHECK(model.parameter_count() == 9'217'728 + 5'504 + 5'130);
  CHECK(model.features.size() == 29);
  model.eval();
  CHECK(model(ones({1, 3, 32, 32})).shape() == Shape{1, 10});
}

TEST_CASE("vgg11_cifar: a step lowers the loss", "[models]") {
  manual_seed(0);
  nn::Vgg11Cifar model({.classes = 4});
  check_learns(model, {2, 3, 32, 32}, 0.05, 2);
}

TEST_CASE("vgg11_cifar: other sizes are refused", "[models]") {
  CHECK_THROWS_WITH(nn::Vgg11Cifar({.channels = 1, .height = 28, .width = 28}),
                    Contains("vgg11_cifar") && Contains("28x28"));
  nn::Vgg11Cifar model;
  CHECK_THROWS_WITH(model(zeros({2, 1, 32, 32})), Contains("features.0: conv2d:"));
  CHECK_THROWS_WITH(model(zeros({2, 3, 28, 28})), Contains("features.28: max_pool2d:"));
}
