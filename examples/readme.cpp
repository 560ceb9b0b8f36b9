// The program of the README.

#include <minidl/minidl.h>
namespace dl = minidl;

struct Net : dl::nn::Module<Net> {
  dl::nn::Conv2d conv{*this, "conv", {.in = 3, .out = 32, .kernel = 3, .padding = 1}};
  dl::nn::BatchNorm2d bn{*this, "bn", 32};
  dl::nn::Linear fc{*this, "fc", {.in = 32, .out = 10}};
  dl::Tensor forward(const dl::Tensor& x) { return fc(dl::relu(bn(conv(x))).mean({2, 3})); }
};

void train(dl::dist::Context& world) {  // rank and size from mpirun; one process works too
  Net net;
  dl::dist::DataParallel model(net, world);
  dl::optim::SGD opt(model.parameters(), {.lr = 0.1, .momentum = 0.9});
  dl::data::Loader loader(dl::data::Synthetic({.size = 4096}),
                          {.global_batch = 128, .shuffle = true}, world);
  for (int epoch = 0; epoch < 3; ++epoch) {
    for (auto [x, y] : dl::progress(loader.epoch(epoch), "epoch", world.is_main())) {
      opt.zero_grad();
      dl::cross_entropy(model(x), y).backward();
      opt.step();
    }
  }
  dl::save(model, "model.safetensors");  // all ranks call it, one writes
}

int main(int argc, char** argv) {
  return dl::dist::run(argc, argv, train);
}
