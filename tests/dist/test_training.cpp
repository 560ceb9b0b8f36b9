// The whole path: loader, data-parallel model, optimizer. The ranks together must do what one
// process does alone.

#include <cmath>
#include <vector>

#include "minidl/core/ops/pool.h"
#include "minidl/core/random.h"
#include "minidl/dist/ddp.h"
#include "minidl/nn/data/loader.h"
#include "minidl/nn/data/synthetic.h"
#include "minidl/nn/modules/activation.h"
#include "minidl/nn/modules/conv.h"
#include "minidl/nn/modules/linear.h"
#include "minidl/nn/optim/sgd.h"
#include "tests/catch.h"
#include "tests/dist/world.h"

namespace minidl {
namespace {

using test::world;

struct Cnn : nn::Module<Cnn> {
  nn::Conv2d conv1{*this, "conv1", {.in = 3, .out = 6, .kernel = 3, .padding = 1}};
  nn::Conv2d conv2{*this, "conv2", {.in = 6, .out = 8, .kernel = 3, .stride = 2, .groups = 2}};
  nn::Linear fc{*this, "fc", {.in = 8 * 4, .out = 10}};
  Tensor forward(const Tensor& x) {
    const Tensor h = max_pool2d(relu(conv1(x)), {});
    return fc(adaptive_avg_pool2d(relu(conv2(h)), {2, 2}).flatten(1));
  }
};

// The loss of each step, over the whole batch. 27 images in batches of 8: the last batch has three,
// so on four ranks one of them has none.
std::vector<double> train(Communicator& ranks, DType dtype) {
  manual_seed(11);
  Cnn net;
  net.to(dtype);
  dist::DataParallel model(net, ranks);
  optim::SGD optimizer(model.parameters(), {.lr = 0.05, .momentum = 0.9, .weight_decay = 1e-3});
  const data::Loader loader(data::Synthetic({.size = 27, .height = 16, .width = 16}),
                            {.global_batch = 8, .shuffle = true}, ranks);
  std::vector<double> losses;
  for (int epoch = 0; losses.size() < 50; ++epoch) {
    for (auto [x, y] : loader.epoch(epoch)) {
      optimizer.zero_grad();
      const Tensor logits = model(x.to(dtype).to(default_device()));
      const Tensor loss = cross_entropy(logits, y.to(default_device()), {.label_smoothing = 0.1});
      loss.backward();
      optimizer.step();
      const auto count = static_cast<double>(y.size(0));
      const Tensor sums = tensor({count > 0 ? loss.item() * count : 0, count}, {2}, {.dtype = f64});
      ranks.all_reduce(sums)->wait();
      losses.push_back(sums.select(0, 0).item() / sums.select(0, 1).item());
    }
  }
  return losses;
}

}  // namespace

TEST_CASE("ranks together train as one process alone", "[training]") {
  const DType dtype = GENERATE(f64, f32);
  SingleProcess alone;
  const std::vector<double> expected = train(alone, dtype);
  const std::vector<double> actual = train(world(), dtype);
  REQUIRE(actual.size() == expected.size());
  CHECK(expected.back() < 0.9 * expected.front());  // it does learn something
  double worst = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    worst = std::max(worst, std::abs(actual[i] - expected[i]));
  }
  CHECK(worst < (dtype == f64 ? 1e-9 : 1e-4));
}

}  // namespace minidl
