// Fine-tunes torchvision's ResNet-18: keeps all weights but the classifier's, trains a new one and
// the last block on noise of three colours, and fails if it does not know them in other images.
//
//   python3 weights.py resnet18.safetensors
//   cmake -S . -B build -DCMAKE_PREFIX_PATH=DIR && cmake --build build
//   build/finetune resnet18.safetensors
#include <minidl/minidl.h>

#include <cstdio>

namespace dl = minidl;

// Noise of 3x64x64 that is brighter in red, green or blue.
dl::data::TensorDataset make_images(std::int64_t count) {
  const dl::Tensor labels = dl::randint(3, {count});
  const dl::Tensor colours = dl::one_hot(labels, 3).reshape({count, 3, 1, 1});
  return {dl::randn({count, 3, 64, 64}) + colours, labels};
}

double accuracy(dl::nn::ResNet& net, const dl::data::Loader& loader) {
  const dl::NoGradGuard no_grad;
  dl::train::Meter meter;
  for (auto [x, y] : loader.epoch(0)) {
    const dl::Tensor logits = net(x);
    meter.update(dl::cross_entropy(logits, y), logits, y);
  }
  return meter.result().accuracy;
}

int main(int argc, char** argv) try {
  if (argc != 2) throw dl::Error("usage: finetune WEIGHTS.safetensors");
  dl::manual_seed(1);
  const dl::data::Loader train(make_images(48), {.global_batch = 16, .shuffle = true});
  const dl::data::Loader test(make_images(48), {.global_batch = 48});
  dl::nn::ResNet net(dl::nn::resnet18(3));
  const auto report = dl::load(net, argv[1], /*strict=*/false);
  if (!report.missing.empty()) throw dl::Error("weights of the ResNet-18 are missing");
  net.requires_grad_(false);
  net.layer4.requires_grad_(true);
  net.fc.requires_grad_(true);
  net.eval();  // in training, too: the batch norms keep the statistics they came with
  dl::optim::AdamW optimizer(net.layer4.parameters(), {.lr = 1e-4});
  optimizer.add_group(net.fc.parameters(), {.lr = 2e-3});
  const double before = accuracy(net, test);
  for (int epoch = 0; epoch < 6; ++epoch) {
    for (auto [x, y] : train.epoch(epoch)) {
      optimizer.zero_grad();
      dl::cross_entropy(net(x), y).backward();
      optimizer.step();
    }
  }
  dl::save(net, "finetuned.safetensors");
  const double after = accuracy(net, test);
  std::printf("accuracy %.3f before, %.3f after\n", before, after);
  return after > 0.9 ? 0 : 1;
} catch (const dl::Error& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
