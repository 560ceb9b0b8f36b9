// Checkpoints as an option of modules and models: memory as theory has it, and the same bits. The
// models are too large for an emulated device.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "minidl/core/factories.h"
#include "minidl/core/ops/pool.h"
#include "minidl/core/random.h"
#include "minidl/nn/models/cnn.h"
#include "minidl/nn/models/image_model.h"
#include "minidl/nn/modules/container.h"
#include "minidl/nn/modules/transformer.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;

namespace {

using Values = std::vector<std::vector<double>>;
using Function = std::function<Tensor(const Tensor&)>;

// A part of a model that is a checkpoint, or is none.
struct Part {
  Function forward;
  bool checkpointed = true;
};

struct Case {
  std::string name;
  std::function<std::unique_ptr<nn::ModuleBase>(bool checkpointed)> make;
  std::function<std::vector<Part>(nn::ModuleBase&)> parts;  // of a model without checkpoints
  Shape input;
  double gain;  // the peak is at most this share of what it is without checkpoints
};

struct TransformerStack : nn::Module<TransformerStack> {
  nn::Sequential layers{*this, "layers"};

  explicit TransformerStack(bool checkpointed) {
    for (int i = 0; i < 6; ++i) {
      layers
          .append<nn::TransformerEncoderLayer>(nn::TransformerEncoderLayerOptions{
              .embed_dim = 32, .heads = 4, .dim_feedforward = 64, .norm_first = true})
          .set_checkpointed(checkpointed);
    }
  }
  Tensor forward(const Tensor& x) { return layers(x); }
};

std::vector<Part> parts_of_tiny_cnn(nn::ModuleBase& model) {
  auto& net = dynamic_cast<nn::TinyCnn&>(model);
  return {{[&net](const Tensor& x) {
            return max_pool2d(relu(net.conv2(relu(net.conv1(x)))), {.kernel = {2, 2}});
          }},
          {[&net](const Tensor& x) {
             return net.fc2(net.dropout2(relu(net.fc1(net.dropout1(x.flatten(1))))));
           },
           false}};
}

std::vector<Part> parts_of_vgg11(nn::ModuleBase& model) {
  auto& net = dynamic_cast<nn::Vgg11Cifar&>(model);
  std::vector<Part> parts;
  for (std::size_t begin = 0; begin < net.features.size();) {
    std::size_t end = begin + 1;  // up to the next convolution
    while (end < net.features.size() && dynamic_cast<nn::Conv2d*>(&net.features[end]) == nullptr) {
      ++end;
    }
    parts.push_back({[&net, begin, end](const Tensor& x) {
      Tensor result = x;
      for (std::size_t i = begin; i < end; ++i) result = net.features[i](result);
      return result;
    }});
    begin = end;
  }
  parts.push_back({[&net](const Tensor& x) { return net.classifier(x.flatten(1)); }, false});
  return parts;
}

std::vector<Part> parts_of_transformer(nn::ModuleBase& model) {
  auto& net = dynamic_cast<TransformerStack&>(model);
  std::vector<Part> parts;
  for (std::size_t i = 0; i < net.layers.size(); ++i) {
    parts.push_back({[&net, i](const Tensor& x) { return net.layers[i](x); }});
  }
  return parts;
}

std::vector<Case> cases() {
  const auto image_model = [](const std::string& name) {
    return [name](bool checkpointed) {
      return nn::make_image_model(name, {.checkpointed = checkpointed});
    };
  };
  return {{"tiny_cnn", image_model("tiny_cnn"), parts_of_tiny_cnn, {8, 3, 32, 32}, 0.9},
          {"vgg11_cifar", image_model("vgg11_cifar"), parts_of_vgg11, {16, 3, 32, 32}, 0.6},
          {"transformer",
           [](bool checkpointed) { return std::make_unique<TransformerStack>(checkpointed); },
           parts_of_transformer,
           {8, 24, 32},
           0.4}};
}

Tensor input_of(const Case& row) {
  const Tensor x = randn(row.input);
  return x.dim() == 4 ? x.channels_last() : x;
}

std::int64_t bytes_of(const Tensor& tensor) {
  return tensor.numel() * static_cast<std::int64_t>(size_of(tensor.dtype()));
}

std::int64_t activations() {
  return memory_stats(default_device())[MemoryTag::activation].current;
}

// The most that `run` needs at any time.
std::int64_t peak_of(const std::function<void()>& run) {
  const std::int64_t before = activations();
  allocator(default_device()).reset_peaks();
  run();
  return memory_stats(default_device())[MemoryTag::activation].peak - before;
}

// Nobody but the graph holds the function's result, and its gradient is a tensor of its own.
Tensor loss_of(const Function& function, const Tensor& x) {
  const Tensor y = function(x);
  return (y * ones_like(y)).sum();
}

std::int64_t peak_of_step(nn::ModuleBase& model, const Tensor& x) {
  const auto step = [&] { loss_of([&](const Tensor& in) { return model(in); }, x).backward(); };
  step();  // the first one allocates the parameters' gradients
  return peak_of(step);
}

// Theory: at its fullest a step holds what the parts before some part keep, which is their inputs
// if they are checkpoints, and what this part needs by itself, forwards and backwards.
std::int64_t expected_peak(const std::vector<Part>& parts, const Tensor& x) {
  std::int64_t kept = 0;
  std::int64_t peak = 0;
  Tensor in = x;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Tensor out = parts[i].forward(in).detach();
    const bool first = i == 0;
    const std::int64_t alone = peak_of([&] {
      const Tensor own = first ? in : in.clone();
      // Not a leaf, so that its gradient does not stay, as it would not in the model.
      const Tensor input = first ? own : own.detach().set_requires_grad().unsqueeze(0).squeeze(0);
      loss_of(parts[i].forward, input).backward();
    });
    peak = std::max(peak, kept + alone);
    if (!first) kept += bytes_of(in);
    in = out;
  }
  return peak;
}

}  // namespace

TEST_CASE("checkpointed models: the peak is inputs of blocks and the largest block",
          "[contract][cpu]") {
  INFO("MINIDL_TEST_SEED=" << minidl::test::test_seed());
  manual_seed(minidl::test::test_seed());
  for (const Case& row : cases()) {
    const Tensor x = input_of(row);
    const auto plain = row.make(false);
    const auto checkpointed = row.make(true);
    const std::int64_t peak_without = peak_of_step(*plain, x);
    const std::int64_t peak_with = peak_of_step(*checkpointed, x);
    const std::int64_t expected = expected_peak(row.parts(*plain), x);
    CAPTURE(row.name, peak_without, peak_with, expected);
    // Parts by themselves and in a row differ in when results and small gradients go.
    const double difference = std::abs(static_cast<double>(peak_with - expected));
    CHECK(difference <= 0.06 * static_cast<double>(expected));
    CHECK(static_cast<double>(peak_with) <= row.gain * static_cast<double>(peak_without));
  }
}

TEST_CASE("checkpointed models: gradients and statistics are the same bits", "[contract][cpu]") {
  INFO("MINIDL_TEST_SEED=" << minidl::test::test_seed());
  for (const Case& row : cases()) {
    const auto after_two_steps = [&](bool checkpointed) {
      manual_seed(minidl::test::test_seed());
      const auto model = row.make(checkpointed);
      Values values;
      for (int step = 0; step < 2; ++step) {
        const Tensor y = (*model)(input_of(row));
        y.backward(randn(y.shape()));
        values.push_back(y.to_vector());
      }
      for (const Tensor& parameter : model->parameters()) {
        values.push_back(parameter.grad().to_vector());
      }
      for (const NamedTensor& buffer : model->named_buffers()) {
        values.push_back(buffer.tensor.to_vector());
        if (buffer.name.ends_with("num_batches_tracked")) CHECK(values.back().front() == 2);
      }
      return values;
    };
    const Values expected = after_two_steps(false);
    const Values actual = after_two_steps(true);
    REQUIRE(actual.size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      CAPTURE(row.name, i);
      CHECK(actual[i] == expected[i]);
    }
  }
}

TEST_CASE("checkpointed modules: several tensors, hooks and names in errors", "[contract]") {
  struct Product : nn::Module<Product> {
    Tensor scale = register_parameter("scale", tensor({2.0}));
    int runs = 0;
    Tensor forward(const Tensor& x, const Tensor& y, const Tensor& z = {}) {
      ++runs;
      return (x * y * scale) * (z.defined() ? z : scale);
    }
  };
  Product product;
  product.set_checkpointed();
  CHECK(product.checkpointed());
  int hooks = 0;
  product.register_full_backward_hook(
      [&hooks](nn::ModuleBase&, const Tensors&, const Tensors&) { ++hooks; });
  const Tensor x = tensor({3.0}, {.requires_grad = true});
  const Tensor y = tensor({5.0}, {.requires_grad = true});
  product(x, y, Tensor()).backward(ones({1}));
  CHECK(product.runs == 2);
  CHECK(hooks == 1);
  CHECK(x.grad().item() == 20);
  CHECK(y.grad().item() == 12);
  CHECK(product.scale.grad().item() == 60);
  product.set_checkpointed(false);
  product(x, y).backward(ones({1}));
  CHECK(product.runs == 3);

  struct Outer : nn::Module<Outer> {
    nn::MultiheadAttention attention{*this, "attention", {.embed_dim = 4, .heads = 1}};
    Tensor forward(const Tensor& in) { return std::get<0>(attention(in, in, in)); }
  };
  Outer outer;
  outer.attention.set_checkpointed();  // it returns a pair
  CHECK_THROWS_WITH(outer(randn({1, 2, 4})),
                    Contains("attention: it cannot be checkpointed as a whole"));
  nn::Sequential net;
  auto& first = net.append<nn::Linear>(nn::LinearOptions{.in = 3, .out = 2});
  first.set_checkpointed();
  CHECK_THROWS_WITH(net(randn({1, 4})), Contains("0: "));
  for (const std::vector<std::size_t>& starts : {std::vector<std::size_t>{1}, {0, 0}}) {
    CHECK_THROWS_WITH(net.set_checkpoints(starts), Contains("ascending numbers below 1, not"));
  }
}
