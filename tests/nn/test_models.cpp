// The image models: shapes, names, sizes, and that they learn.

#include <cmath>
#include <string>
#include <vector>

#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/softmax.h"
#include "minidl/core/random.h"
#include "minidl/nn/models/cnn.h"
#include "minidl/nn/models/resnet.h"
#include "minidl/nn/models/vgg.h"
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

TEST_CASE("vgg11_cifar: steps lower the loss", "[models]") {
  manual_seed(0);
  nn::Vgg11Cifar model({.classes = 4});
  check_learns(model, {2, 3, 32, 32}, 0.01, 2);
}

TEST_CASE("vgg11_cifar: other sizes are refused", "[models]") {
  CHECK_THROWS_WITH(nn::Vgg11Cifar({.channels = 1, .height = 28, .width = 28}),
                    Contains("vgg11_cifar") && Contains("28x28"));
  nn::Vgg11Cifar model;
  CHECK_THROWS_WITH(model(zeros({2, 1, 32, 32})), Contains("features.0: conv2d:"));
  CHECK_THROWS_WITH(model(zeros({2, 3, 28, 28})), Contains("features.28: max_pool2d:"));
}

TEST_CASE("resnet18_cifar: torchvision's names, 11,173,962 parameters", "[models]") {
  const auto add_norm = [](std::vector<std::string>& names, const std::string& norm) {
    for (const char* part :
         {".weight", ".bias", ".running_mean", ".running_var", ".num_batches_tracked"}) {
      names.push_back(norm + part);
    }
  };
  std::vector<std::string> expected{"conv1.weight"};
  add_norm(expected, "bn1");
  for (const int stage : {1, 2, 3, 4}) {
    for (const int block : {0, 1}) {
      const std::string path = "layer" + std::to_string(stage) + "." + std::to_string(block);
      for (const char* number : {"1", "2"}) {
        expected.push_back(path + ".conv" + number + ".weight");
        add_norm(expected, path + ".bn" + number);
      }
      if (stage == 1 || block == 1) continue;
      expected.push_back(path + ".downsample.0.weight");
      add_norm(expected, path + ".downsample.1");
    }
  }
  expected.emplace_back("fc.weight");
  expected.emplace_back("fc.bias");

  nn::Resnet18Cifar model;
  CHECK(names_of(model.state_dict()) == expected);
  CHECK(model.parameter_count() == 11'173'962);
}

TEST_CASE("resnet18_cifar: takes images of any size", "[models]") {
  nn::Resnet18Cifar model({.channels = 1, .classes = 7});
  model.eval();
  for (const Shape& images : {Shape{2, 1, 12, 12}, Shape{1, 1, 9, 5}, Shape{0, 1, 8, 8}}) {
    INFO(to_string(images));
    CHECK(model(zeros(images)).shape() == Shape{images[0], 7});
  }
  CHECK_THROWS_WITH(model(zeros({1, 3, 8, 8})), Contains("conv1: conv2d:"));

  std::vector<Shape> stages;
  for (nn::Sequential* stage : {&model.layer1, &model.layer2, &model.layer3, &model.layer4}) {
    stage->register_forward_hook([&stages](nn::ModuleBase&, const Tensors&, const Tensors& out) {
      stages.push_back(out.at(0).shape());
    });
  }
  model(zeros({1, 1, 16, 14}));
  CHECK(stages ==
        std::vector<Shape>{{1, 64, 16, 14}, {1, 128, 8, 7}, {1, 256, 4, 4}, {1, 512, 2, 2}});
}

TEST_CASE("resnet18_cifar: convolutions start normal with variance 2 / fan_out", "[models]") {
  manual_seed(3);
  nn::Resnet18Cifar model;
  for (const NamedTensor& entry : model.named_parameters()) {
    if (entry.tensor.dim() != 4) continue;
    INFO(entry.name);
    const Tensor weight = entry.tensor.detach();
    const Tensor some = weight.slice(0, 0, 64);
    const auto fan_out = static_cast<double>(weight.size(0) * weight.size(2) * weight.size(3));
    const double variance = pow(some, 2).mean().item();
    // The smallest has 1,728 weights: 0.25 is seven standard deviations of its estimate.
    CHECK(variance * fan_out / 2 == Approx(1).margin(0.25));
  }
}

TEST_CASE("resnet18_cifar: the gradient reaches every parameter", "[models]") {
  manual_seed(0);
  nn::Resnet18Cifar model({.height = 8, .width = 8});
  cross_entropy(model(randn({4, 3, 8, 8})), arange(4)).backward();
  for (const NamedTensor& parameter : model.named_parameters()) {
    INFO(parameter.name);
    REQUIRE(parameter.tensor.grad().defined());
    CHECK(abs(parameter.tensor.grad()).amax().item() > 0);
  }
}

TEST_CASE("BasicBlock: two convolutions and a shortcut around them", "[models]") {
  const auto [options, shortcut_size] = GENERATE(
      table<nn::ResidualBlockOptions, std::size_t>({{{.in = 6, .width = 6}, 0},
                                                    {{.in = 6, .width = 10}, 2},
                                                    {{.in = 6, .width = 6, .stride = 2}, 2}}));
  manual_seed(5);
  nn::BasicBlock block(options);
  block(randn({8, 6, 7, 9}));  // running statistics that matter
  block.eval();
  const Tensor x = randn({2, 6, 7, 9});

  Tensor expected = block.bn1(block.conv1(x));
  expected = block.bn2(block.conv2(relu(expected)));
  CHECK(block.downsample.size() == shortcut_size);
  const Tensor shortcut = shortcut_size == 0 ? x : block.downsample[1](block.downsample[0](x));
  expected = relu(expected + shortcut);
  CHECK(block(x).shape() == expected.shape());
  CHECK(block(x).to_vector() == expected.to_vector());
}

TEST_CASE("make_image_model: every name makes its model", "[models]") {
  const std::vector<std::string> names = nn::image_model_names();
  CHECK(names == std::vector<std::string>{"tiny_cnn", "vgg11_cifar", "resnet18_cifar"});
  std::vector<std::int64_t> counts;
  for (const std::string& name : names) {
    const auto model = nn::make_image_model(name, {.channels = 1, .classes = 4});
    model->eval();
    CHECK(model->call(zeros({1, 1, 32, 32})).shape() == Shape{1, 4});
    counts.push_back(model->parameter_count());
  }
  CHECK(counts == std::vector<std::int64_t>{2'116'612, 9'224'132, 11'169'732});
  CHECK_THROWS_WITH(nn::make_image_model("alexnet"),
                    Contains("'alexnet'") && Contains("tiny_cnn, vgg11_cifar, resnet18_cifar"));
}

TEST_CASE("vgg: initialised as torchvision's; images, classes, dropout", "[models][cpu]") {
  manual_seed(3);
  nn::Vgg model({.batch_norm = true, .channels = 1, .classes = 7});
  const Tensor x = rand({1, 1, 32, 40});
  CHECK(model(x).shape() == Shape{1, 7});
  model.features.eval();
  CHECK(model(x).to_vector() != model(x).to_vector());
  model.eval();
  CHECK(model(x).to_vector() == model(x).to_vector());
  CHECK_THROWS_WITH(model(zeros({1, 1, 31, 32})), Contains("features.28: max_pool2d"));
  const auto spread = [](const Tensor& t) { return t.detach().std().item(); };
  for (const auto& [name, parameter] : model.named_parameters()) {
    INFO(name);
    if (name == "features.25.weight") {
      CHECK(spread(parameter) == Approx(std::sqrt(2. / (512 * 9))).epsilon(0.01));
    } else if (name == "classifier.3.weight") {
      CHECK(spread(parameter) == Approx(0.01).epsilon(0.01));
    } else if (name.ends_with("bias")) {
      CHECK(spread(parameter) == 0);
    }
  }
}
