// The contract of checkpoint (core/autograd/checkpoint.h): wrapped around a part of a model it
// changes how much memory waits for backward, and nothing else. Outputs, gradients and running
// statistics are the same bits, random numbers the same draws. After forward only what goes into
// and comes out of the part is alive; backward computes the rest again, once, and lets go of each
// piece as it uses it. Rules for bodies that are no modules: tests/core/test_checkpoint.cpp.

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "minidl/core/autograd/checkpoint.h"
#include "minidl/core/grad_mode.h"
#include "minidl/core/ops/dropout.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/random.h"
#include "minidl/nn/modules/activation.h"
#include "minidl/nn/modules/batch_norm.h"
#include "minidl/nn/modules/container.h"
#include "minidl/nn/modules/conv.h"
#include "minidl/nn/modules/linear.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;

namespace {

constexpr std::int64_t kBatch = 2;
constexpr std::int64_t kChannels = 8;
constexpr std::int64_t kSide = 16;

struct Block : nn::Module<Block> {
  nn::Conv2d conv1{*this, "conv1", {.in = kChannels, .out = kChannels, .kernel = 3, .padding = 1}};
  nn::BatchNorm2d bn{*this, "bn", kChannels};
  nn::Conv2d conv2{*this, "conv2", {.in = kChannels, .out = kChannels, .kernel = 3, .padding = 1}};

  Tensor forward(const Tensor& x) {
    Tensor y = conv1(x);
    y = bn(y);
    y = relu(y);
    y = dropout(y, 0.25, training());
    return conv2(y);
  }
};

// Four blocks, each within a checkpoint or not.
struct Chain : nn::Module<Chain> {
  nn::ModuleList blocks{*this, "blocks"};
  bool checkpointed = false;

  Chain() {
    for (int i = 0; i < 4; ++i) blocks.append<Block>();
  }
  Tensor forward(const Tensor& x) {
    Tensor y = x;
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      nn::ModuleBase& block = blocks[i];
      y = checkpointed ? checkpoint([&](const Tensor& in) { return block(in); }, y) : block(y);
    }
    return y;
  }
};

Tensor random_images() {
  return randn({kBatch, kChannels, kSide, kSide}).channels_last();
}

std::int64_t activations() {
  return memory_stats(default_device())[MemoryTag::activation].current;
}
std::int64_t peak_activations() {
  return memory_stats(default_device())[MemoryTag::activation].peak;
}

// Everything that two steps of training leave behind.
struct Trace {
  std::vector<std::vector<double>> values;
  Generator::State random;
};

Trace two_steps(nn::ModuleBase& model, const std::function<Tensor(const Tensor&)>& forward) {
  manual_seed(minidl::test::test_seed() + 1);
  Trace trace;
  for (int step = 0; step < 2; ++step) {
    const Tensor x = random_images().detach().set_requires_grad();
    const Tensor y = forward(x);
    y.backward(randn(y.shape()));
    trace.values.push_back(y.to_vector());
    trace.values.push_back(x.grad().to_vector());
    for (const Tensor& parameter : model.parameters()) {
      trace.values.push_back(parameter.grad().to_vector());
    }
    for (const NamedTensor& buffer : model.named_buffers()) {
      trace.values.push_back(buffer.tensor.to_vector());
    }
  }
  trace.random = default_generator().state();
  return trace;
}

}  // namespace

TEST_CASE("checkpoint: outputs, gradients and statistics are the same bits", "[contract]") {
  INFO("MINIDL_TEST_SEED=" << minidl::test::test_seed());
  manual_seed(minidl::test::test_seed());
  Block plain;
  Block checkpointed;
  checkpointed.load_state_dict(plain.state_dict());

  const Trace expected = two_steps(plain, [&](const Tensor& x) { return plain(x); });
  const Trace actual = two_steps(checkpointed, [&](const Tensor& x) {
    return checkpoint([&](const Tensor& in) { return checkpointed(in); }, x);
  });

  REQUIRE(actual.values.size() == expected.values.size());
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    CAPTURE(i);
    CHECK(actual.values[i] == expected.values[i]);
  }
  CHECK(actual.random == expected.random);
  CHECK(checkpointed.bn.num_batches_tracked.item() == 2);
}

TEST_CASE("checkpoint: memory is that of the inputs and outputs, as theory has it", "[contract]") {
  // Bytes of an image batch (the input and every result of the block), of one number per channel,
  // of a convolution's weight.
  constexpr std::int64_t kImage = kBatch * kChannels * kSide * kSide * 4;
  constexpr std::int64_t kChannel = kChannels * 4;
  constexpr std::int64_t kWeight = kChannels * kChannels * 3 * 3 * 4;

  // What a block leaves for backward, besides parameters:
  //   conv1    its input               the block's input, which the caller holds as well
  //   bn       its input, and each channel's mean and inverse deviation
  //   relu     its output
  //   dropout  nothing: it draws its mask again
  //   conv2    its input
  constexpr std::int64_t kSaved = 3 * kImage + 2 * kChannel;

  Chain chain;
  const Tensor x = random_images();
  const Tensor gradient = random_images();
  const auto forward_bytes = [&](bool checkpointed) {
    chain.checkpointed = checkpointed;
    const std::int64_t before = activations();
    const Tensor y = chain(x);
    return activations() - before;
  };
  CHECK(forward_bytes(false) == 4 * (kImage + kSaved));
  CHECK(forward_bytes(true) == 4 * kImage);

  const auto peak_bytes = [&](bool checkpointed) {
    chain.checkpointed = checkpointed;
    const std::int64_t before = activations();
    allocator(default_device()).reset_peaks();
    const Tensor y = chain(x);
    y.backward(gradient);
    return peak_activations() - before;
  };
  peak_bytes(false);  // the first backward allocates the gradients of the parameters

  // Fullest is the moment at which the last convolution has been run backwards: there are the
  // gradients of its input, weight and bias, and all that was saved. Of four blocks without
  // checkpoints; with them, of the one that backward is in.
  constexpr std::int64_t kGradients = kImage + kWeight + kChannel;
  CHECK(peak_bytes(false) == 4 * (kImage + kSaved) + kGradients);
  CHECK(peak_bytes(true) == 4 * kImage + kSaved + kGradients);
}

TEST_CASE("checkpoint: backward frees what was computed again as it goes", "[contract]") {
  Block block;
  const Tensor x = random_images().detach().set_requires_grad();
  const std::int64_t before = activations();
  const Tensor y = checkpoint([&](const Tensor& in) { return block(in); }, x);
  const std::int64_t output = activations() - before;
  const Tensor gradient = random_images();
  SECTION("and with it the graph") {
    y.backward(gradient);
    CHECK(activations() - before == 2 * output);  // y and `gradient`
  }
  SECTION("also where the graph is kept: every pass computes it again") {
    y.backward(gradient, /*retain_graph=*/true);
    CHECK(activations() - before == 2 * output);
    const Tensor once = x.grad().clone();
    y.backward(gradient);
    CHECK(x.grad().to_vector() == (once + once).to_vector());
    CHECK(block.bn.num_batches_tracked.item() == 1);
  }
}

TEST_CASE("checkpoint: an input without gradient is no obstacle to the parameters'", "[contract]") {
  Block block;
  block.eval();  // so that both passes see the same mask and statistics
  const Tensor x = random_images();
  block(x).sum().backward();
  std::vector<std::vector<double>> expected;
  for (const Tensor& parameter : block.parameters()) {
    expected.push_back(parameter.grad().to_vector());
  }
  block.zero_grad();
  checkpoint([&](const Tensor& in) { return block(in); }, x).sum().backward();
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CHECK(block.parameters()[i].grad().to_vector() == expected[i]);
  }
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("checkpoint: under a NoGradGuard the module just runs", "[contract]") {
  Block block;
  const Tensor x = random_images();
  const NoGradGuard no_grad;
  const Tensor y = checkpoint([&](const Tensor& in) { return block(in); }, x);
  CHECK_FALSE(y.requires_grad());
  CHECK(block.bn.num_batches_tracked.item() == 1);
}

TEST_CASE("checkpoint: a module switched between forward and backward is an error", "[contract]") {
  manual_seed(1);
  const Tensor x = random_images();
  SECTION("batch norm saves something else") {
    Block block;
    const Tensor y = checkpoint([&](const Tensor& in) { return block(in); }, x);
    block.eval();
    CHECK_THROWS_WITH(y.sum().backward(), Contains("second run of a checkpoint") &&
                                              Contains("the same both times") &&
                                              Contains("train() and eval()"));
    block.train();  // switched back, it works
    y.sum().backward();
    CHECK(block.conv1.weight.grad().defined());
  }
  SECTION("dropout draws nothing") {
    nn::Linear fc({.in = kSide, .out = kSide});
    nn::Dropout drop(0.5);
    const Tensor y = checkpoint([&](const Tensor& in) { return fc(drop(fc(in))); }, x);
    drop.eval();
    CHECK_THROWS_WITH(y.sum().backward(), Contains("other random numbers"));
  }
}

TEST_CASE("checkpoint: parameters changed in place before backward are an error", "[contract]") {
  Block block;
  struct Row {
    std::string label;
    Tensor parameter;
  };
  // A bias is read, though not saved: the second run would compute with another one.
  for (const Row& row : {Row{"conv2d", block.conv1.weight}, Row{"conv2d", block.conv2.bias},
                         Row{"batch_norm", block.bn.bias}}) {
    INFO(row.label);
    const Tensor y = checkpoint([&](const Tensor& in) { return block(in); }, random_images());
    row.parameter.detach().mul_(2);
    CHECK_THROWS_WITH(y.sum().backward(),
                      Contains(row.label + ":") && Contains("changed in place by mul_"));
  }
}

TEST_CASE("checkpoint: hooks of modules in the body", "[contract]") {
  Block block;
  int forwards = 0;
  int backwards = 0;
  block.conv2.register_forward_hook(
      [&](nn::ModuleBase&, const Tensors&, const Tensors&) { ++forwards; });
  block.conv2.register_full_backward_hook(
      [&](nn::ModuleBase&, const Tensors& grad_inputs, const Tensors& grad_outputs) {
        ++backwards;
        CHECK(grad_inputs.at(0).shape() == grad_outputs.at(0).shape());
      });
  const Tensor y = checkpoint([&](const Tensor& in) { return block(in); }, random_images());
  CHECK(forwards == 1);
  y.sum().backward();
  CHECK(backwards == 1);
  // The second run is left within conv2, when everything is there: before its hook.
  CHECK(forwards == 1);
  // Hooks of the earlier ones run in both.
  block.conv1.register_forward_hook(
      [&](nn::ModuleBase&, const Tensors&, const Tensors&) { forwards += 10; });
  checkpoint([&](const Tensor& in) { return block(in); }, random_images()).sum().backward();
  CHECK(forwards == 22);
}
