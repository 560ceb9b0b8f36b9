// The contract under sharded training: a module's parameters can live elsewhere and visit only
// while they are needed. Each rank keeps one part of every layer's parameters. Hooks gather a layer
// before its forward and before its backward, and let it go afterwards; gradients are reduced into
// the parts, which the optimizer updates. `ShardedLayer` is all that it takes, in public interfaces
// only: hooks of modules, end-of-backward, Storage, Communicator. The result is that of one process
// with the whole batch, and the counters show that the bytes are gone in between.

#include <cmath>
#include <memory>
#include <vector>

#include "minidl/core/autograd/engine.h"
#include "minidl/core/grad_mode.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/random.h"
#include "minidl/nn/modules/activation.h"
#include "minidl/nn/modules/container.h"
#include "minidl/nn/modules/linear.h"
#include "minidl/nn/optim/adam.h"
#include "tests/catch.h"
#include "tests/dist/world.h"

using namespace minidl;
using test::world;

namespace {

// Keeps this rank's part of a module's parameters, and the whole of them where it is needed.
class ShardedLayer {
 public:
  explicit ShardedLayer(nn::ModuleBase& module) : parameters_(module.parameters()) {
    std::int64_t elements = 0;
    for (const Tensor& parameter : parameters_) elements += parameter.numel();
    const std::int64_t part = (elements + world().size() - 1) / world().size();
    const TensorOptions options{.dtype = parameters_.front().dtype()};
    whole_ = zeros({part * world().size()}, options).set_memory_tag(MemoryTag::param);
    for_each_view(whole_, [](const Tensor& parameter, const Tensor& view) {
      view.copy_(parameter.detach());
      parameter.set_data(view);
    });
    const std::int64_t begin = part * world().rank();
    part_ = whole_.slice(0, begin, begin + part).clone();
    part_.set_requires_grad().set_memory_tag(MemoryTag::param);
    whole_.storage().release();

    module.register_forward_pre_hook([this](auto&...) { gather(); });
    module.register_forward_hook([this](auto&...) { whole_.storage().release(); });
    module.register_full_backward_pre_hook([this](auto&...) { begin_backward(); });
    module.register_full_backward_hook([this](auto&...) { end_backward(); });
  }

  const Tensor& part() const { return part_; }
  bool gathered() const { return !whole_.storage().released(); }
  std::int64_t whole_bytes() const { return static_cast<std::int64_t>(whole_.storage().bytes()); }

 private:
  template <class Visit>
  void for_each_view(const Tensor& block, const Visit& visit) const {
    std::int64_t begin = 0;
    for (const Tensor& parameter : parameters_) {
      const std::int64_t end = begin + parameter.numel();
      visit(parameter, block.slice(0, begin, end).reshape(parameter.shape()));
      begin = end;
    }
  }

  void gather() {
    const NoGradGuard no_grad;
    const PreserveVersion same_bytes(whole_.storage());  // what forward saved stays valid
    whole_.storage().materialize();
    world().communicator().all_gather(part_.detach(), whole_)->wait();
  }

  void begin_backward() {
    gather();
    grads_ = zeros_like(whole_).set_memory_tag(MemoryTag::grad);
    for_each_view(grads_, [](const Tensor& parameter, const Tensor& view) {
      parameter.set_grad_storage(view);
    });
    // No hook tells the end of a layer whose input needs no gradient: the first one's.
    autograd::queue_end_of_backward([this] { end_backward(); });
  }

  void end_backward() {
    if (!grads_.defined()) return;
    const Tensor sum = empty_like(part_).set_memory_tag(MemoryTag::grad);
    world().communicator().reduce_scatter(grads_, sum, Reduction::mean)->wait();
    part_.set_grad(sum);
    for (const Tensor& parameter : parameters_) parameter.set_grad({});
    grads_ = {};
    whole_.storage().release();
  }

  Tensors parameters_;  // views of whole_
  Tensor whole_;        // padded to a multiple of the ranks; mostly released
  Tensor part_;         // this rank's
  Tensor grads_;        // of whole_, during backward
};

constexpr std::int64_t kLayers = 5;
constexpr std::int64_t kWidth = 24;
constexpr std::int64_t kBatchPerRank = 3;
constexpr int kSteps = 4;

struct Net : nn::Module<Net> {
  Net() {
    for (std::int64_t i = 0; i < kLayers; ++i) {
      layers.append<nn::Linear>(nn::LinearOptions{.in = kWidth, .out = kWidth});
    }
    to(f64);
  }
  nn::ModuleList layers{*this, "layers"};

  Tensor forward(const Tensor& x) {
    Tensor result = x;
    for (std::size_t i = 0; i < layers.size(); ++i) result = tanh(layers[i].call(result));
    return result;
  }
};

struct Problem {
  Tensor x;
  Tensor y;
};

// The same batch on every rank.
Problem draw_problem(std::uint64_t seed) {
  manual_seed(seed);
  const Shape shape{kBatchPerRank * world().size(), kWidth};
  return {randn(shape, {.dtype = f64}), randn(shape, {.dtype = f64})};
}

Tensor mean_square(const Tensor& a, const Tensor& b) {
  const Tensor difference = a - b;
  return (difference * difference).mean();
}

std::int64_t in_use(MemoryTag tag) {
  return memory_stats(default_device())[tag].current;
}

}  // namespace

TEST_CASE("sharding contract: a stack of linear layers trains as on one process",
          "[contract][sharding]") {
  const std::uint64_t seed = test::common_seed();
  INFO("MINIDL_TEST_SEED=" << seed);
  const Problem all = draw_problem(seed);
  const std::int64_t begin = kBatchPerRank * world().rank();
  const Problem own{all.x.slice(0, begin, begin + kBatchPerRank),
                    all.y.slice(0, begin, begin + kBatchPerRank)};

  manual_seed(seed);
  Net reference;
  manual_seed(seed);
  Net net;
  std::vector<std::unique_ptr<ShardedLayer>> shards;
  Tensors parts;
  for (std::size_t i = 0; i < net.layers.size(); ++i) {
    shards.push_back(std::make_unique<ShardedLayer>(net.layers[i]));
    parts.push_back(shards.back()->part());
  }
  optim::AdamW reference_optimizer(reference.parameters(), {.lr = 0.01});
  optim::AdamW optimizer(parts, {.lr = 0.01});

  for (int step = 0; step < kSteps; ++step) {
    reference_optimizer.zero_grad();
    mean_square(reference(all.x), all.y).backward();
    reference_optimizer.step();

    optimizer.zero_grad();
    mean_square(net(own.x), own.y).backward();
    optimizer.step();
  }
  CHECK(std::abs(mean_square(net(all.x), all.y).item() -
                 mean_square(reference(all.x), all.y).item()) < 1e-9);
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const Tensor whole = zeros({parts[i].numel() * world().size()}, {.dtype = f64});
    world().communicator().all_gather(parts[i].detach(), whole)->wait();
    std::vector<double> expected;
    for (const Tensor& parameter : reference.layers[i].parameters()) {
      const std::vector<double> values = parameter.to_vector();
      expected.insert(expected.end(), values.begin(), values.end());
    }
    const std::vector<double> found = whole.to_vector();
    for (std::size_t j = 0; j < expected.size(); ++j) {
      REQUIRE(found[j] == Approx(expected[j]).margin(1e-9));
    }
  }
}

TEST_CASE("sharding contract: between its uses a layer's bytes are gone", "[contract][sharding]") {
  const Problem all = draw_problem(test::common_seed());
  const std::int64_t before_net = in_use(MemoryTag::param);
  const std::int64_t grads_before = in_use(MemoryTag::grad);
  Net net;
  const std::int64_t full = in_use(MemoryTag::param) - before_net;
  std::vector<std::unique_ptr<ShardedLayer>> shards;
  for (std::size_t i = 0; i < net.layers.size(); ++i) {
    shards.push_back(std::make_unique<ShardedLayer>(net.layers[i]));
  }
  const std::int64_t layer = shards.front()->whole_bytes();
  const std::int64_t sharded = kLayers * layer / world().size();
  CHECK(in_use(MemoryTag::param) - before_net == sharded);
  CHECK(full <= kLayers * layer);

  // At most one layer is whole at a time, in forward and in backward.
  allocator(default_device()).reset_peaks();
  const Tensor loss = mean_square(net(all.x), all.y);
  CHECK(in_use(MemoryTag::param) - before_net == sharded);
  loss.backward();
  CHECK(in_use(MemoryTag::param) - before_net == sharded);
  CHECK(memory_stats(default_device())[MemoryTag::param].peak - before_net == sharded + layer);

  // Of the gradients, the parts stay; on the way there was one whole layer's at a time.
  CHECK(in_use(MemoryTag::grad) - grads_before == sharded);
  CHECK(memory_stats(default_device())[MemoryTag::grad].peak - grads_before <= sharded + layer);
  for (const auto& shard : shards) {
    CHECK_FALSE(shard->gathered());
    CHECK(shard->part().grad().defined());
  }
}

TEST_CASE("sharding contract: a layer that was let go says so when it is touched",
          "[contract][sharding]") {
  Net net;
  const ShardedLayer shard(net.layers[0]);
  CHECK_THROWS_WITH(net.layers[0].parameters().front().to_vector(), Contains("released"));
}
