// The program of docs/guide/08-memory.md.

#include <minidl/minidl.h>

#include <cstdio>
#include <vector>
namespace dl = minidl;
namespace nn = minidl::nn;

namespace {

struct Block : nn::Module<Block> {
  nn::Linear fc1{*this, "fc1", {.in = 64, .out = 256}};
  nn::Dropout dropout{*this, "dropout", 0.1};
  nn::Linear fc2{*this, "fc2", {.in = 256, .out = 64}};
  dl::Tensor forward(const dl::Tensor& x) { return x + fc2(dropout(dl::gelu(fc1(x)))); }
};

struct Net : nn::Module<Net> {
  nn::ModuleList blocks{*this, "blocks"};

  Net() {
    for (int i = 0; i < 8; ++i) blocks.append<Block>();
  }
  dl::Tensor forward(dl::Tensor x) {
    for (std::size_t i = 0; i < blocks.size(); ++i) x = blocks[i](x);
    return x;
  }
};

// The most bytes that a step's activations take, beyond what is there before.
std::int64_t peak_of_a_step(Net& net, const dl::Tensor& x) {
  dl::manual_seed(2);  // the same dropout in both runs
  net.zero_grad();
  dl::allocator(dl::cpu).reset_peaks();
  const std::int64_t before = dl::memory_stats()[dl::MemoryTag::activation].current;
  dl::square(net(x)).mean().backward();
  return dl::memory_stats()[dl::MemoryTag::activation].peak - before;
}

void checkpoints() {
  Net net;
  const dl::Tensor x = dl::randn({128, 64});
  const std::int64_t whole = peak_of_a_step(net, x);
  std::vector<dl::Tensor> gradients;
  for (const dl::Tensor& parameter : net.parameters())
    gradients.push_back(parameter.grad().clone());

  for (std::size_t i = 0; i < net.blocks.size(); ++i) net.blocks[i].set_checkpointed();
  const std::int64_t less = peak_of_a_step(net, x);
  bool same = true;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    same = same && dl::equal(gradients[i], net.parameters()[i].grad());
  }
  std::printf("%s gradients, a third of the memory: %s\n", same ? "the same" : "other",
              3 * less < whole ? "yes" : "no");
}

// One step on a batch that is computed in parts.
void accumulation(dl::dist::Context& world) {
  nn::Linear net({.in = 4, .out = 3});
  dl::dist::DataParallel model(net, world);
  dl::optim::SGD optimizer(model.parameters(), {.lr = 0.1});
  const dl::Tensor x = dl::randn({32, 4});
  const dl::Tensor y = dl::randint(3, {32});

  dl::cross_entropy(model(x), y).backward();
  const dl::Tensor at_once = net.weight.grad().clone();

  optimizer.zero_grad();
  dl::dist::backward_in_parts(model, y.size(0), 4, [&](std::int64_t begin, std::int64_t end) {
    return dl::cross_entropy(model(x.slice(0, begin, end)), y.slice(0, begin, end));
  });
  const bool close = dl::allclose(net.weight.grad(), at_once, 1e-4, 1e-6);
  optimizer.step();

  if (world.is_main()) std::printf("in parts as at once: %s\n", close ? "yes" : "no");
}

// The same by hand, for loops that look different.
void by_hand(dl::dist::Context& world) {
  nn::Linear net({.in = 4, .out = 3});
  dl::dist::DataParallel model(net, world);
  dl::optim::SGD optimizer(model.parameters(), {.lr = 0.1});
  const dl::Tensors xs = dl::randn({32, 4}).chunk(4);
  const dl::Tensors ys = dl::randint(3, {32}).chunk(4);
  {
    const auto guard = model.no_sync();  // several processes send nothing in here
    for (std::size_t i = 0; i < 3; ++i) {
      (dl::cross_entropy(model(xs[i]), ys[i]) / 4).backward();
    }
  }
  (dl::cross_entropy(model(xs[3]), ys[3]) / 4).backward();
  optimizer.step();
}

void accumulate(dl::dist::Context& world) {
  accumulation(world);
  by_hand(world);
}

}  // namespace

int main(int argc, char** argv) {
  checkpoints();
  return dl::dist::run(argc, argv, accumulate);
}
