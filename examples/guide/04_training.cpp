// The program of docs/guide/04-training.md: a small network learns to tell figures apart, on one
// process or on several under mpirun.

#include <minidl/minidl.h>

#include <cstdio>
namespace dl = minidl;
namespace nn = minidl::nn;

namespace {

struct Net : nn::Module<Net> {
  nn::Conv2d conv1{*this, "conv1", {.in = 1, .out = 16, .kernel = 3, .stride = 2, .padding = 1}};
  nn::BatchNorm2d bn1{*this, "bn1", 16};
  nn::Conv2d conv2{*this, "conv2", {.in = 16, .out = 32, .kernel = 3, .padding = 1}};
  nn::BatchNorm2d bn2{*this, "bn2", 32};
  nn::Linear fc{*this, "fc", {.in = 32, .out = 4}};

  dl::Tensor forward(const dl::Tensor& x) {
    const dl::Tensor h = dl::relu(bn2(conv2(dl::relu(bn1(conv1(x))))));
    return fc(h.mean({2, 3}));
  }
};

dl::train::MeterResult evaluate(Net& net, const dl::data::Loader& loader, const dl::Device& device,
                                dl::Communicator& world) {
  net.eval();
  const dl::NoGradGuard no_grad;
  dl::train::Meter meter;
  for (auto [x, y] : loader.epoch(0)) {
    const dl::Tensor logits = net(x.to(device));
    const dl::Tensor target = y.to(device);
    meter.update(dl::cross_entropy(logits, target), logits, target);
  }
  net.train();
  return meter.result(world);  // of all ranks together
}

void train(dl::dist::Context& world) {
  dl::manual_seed(1);
  const dl::Device device = dl::Device::best(world.local_rank());

  const dl::data::SyntheticOptions figures{
      .size = 1024, .classes = 4, .height = 16, .width = 16, .channels = 1, .noise = 0.02};
  dl::data::SyntheticOptions others = figures;
  others.split = dl::data::Split::test;
  others.size = 256;
  const dl::data::Loader train_data(dl::data::Synthetic(figures),
                                    {.global_batch = 32, .shuffle = true, .drop_last = true},
                                    world);
  const dl::data::Loader test_data(dl::data::Synthetic(others), {.global_batch = 64}, world);

  Net net;
  net.to(device);
  dl::dist::DataParallel model(net, world);

  constexpr int kEpochs = 6;
  dl::optim::AdamW optimizer(model.parameters(), {.lr = 1e-2});
  dl::optim::Scheduler scheduler(optimizer,
                                 dl::optim::one_cycle_schedule(kEpochs * train_data.batches()));

  for (int epoch = 0; epoch < kEpochs; ++epoch) {
    dl::train::Meter meter;
    for (auto [x, y] : dl::progress(train_data.epoch(epoch), "training", world.is_main())) {
      optimizer.zero_grad();
      const dl::Tensor logits = model(x.to(device));
      const dl::Tensor target = y.to(device);
      const dl::Tensor loss = dl::cross_entropy(logits, target);
      loss.backward();
      nn::clip_grad_norm_(model.parameters(), 1.0);
      optimizer.step();
      scheduler.step();
      meter.update(loss, logits, target);
    }
    const dl::train::MeterResult result = meter.result(world);
    if (world.is_main()) {
      std::fprintf(stderr, "epoch %d: loss %.3f, accuracy %.3f\n", epoch, result.loss,
                   result.accuracy);
    }
  }

  const dl::train::MeterResult result = evaluate(net, test_data, device, world);
  if (result.accuracy < 0.8) throw dl::Error("the network has not learnt much");
  if (world.is_main()) std::puts("it tells four figures apart");
}

}  // namespace

int main(int argc, char** argv) {
  return dl::dist::run(argc, argv, train);
}
