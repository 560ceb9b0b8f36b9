#include "minidl/nn/models/cnn.h"

#include "minidl/core/autograd/checkpoint.h"
#include "minidl/core/ops/pool.h"
#include "minidl/kernels/common/check.h"

namespace minidl::nn {

TinyCnn::TinyCnn(const ImageModelOptions& options)
    : conv1(*this, "conv1", {.in = options.channels, .out = 32, .kernel = 3, .padding = 1}),
      conv2(*this, "conv2", {.in = 32, .out = 64, .kernel = 3, .padding = 1}),
      fc1(*this, "fc1", {.in = 64 * (options.height / 2) * (options.width / 2), .out = 128}),
      fc2(*this, "fc2", {.in = 128, .out = options.classes}),
      checkpointed_(options.checkpointed) {}

Tensor TinyCnn::forward(const Tensor& x) {
  const auto convolve = [this](const Tensor& images) {
    return max_pool2d(relu(conv2(relu(conv1(images)))), {.kernel = {2, 2}});
  };
  Tensor h = checkpointed_ ? checkpoint(convolve, x) : convolve(x);
  h = dropout1(h.flatten(1));
  return fc2(dropout2(relu(fc1(h))));
}

Vgg11Cifar::Vgg11Cifar(const ImageModelOptions& options)
    : classifier(*this, "classifier", {.in = 512, .out = options.classes}) {
  check(options.height == 32 && options.width == 32,
        "vgg11_cifar: images must be 32x32, not {}x{}; tiny_cnn and resnet18_cifar take any size",
        options.height, options.width);
  constexpr std::int64_t kPool = 0;
  std::int64_t in = options.channels;
  std::vector<std::size_t> blocks;
  for (const std::int64_t out :
       {64L, kPool, 128L, kPool, 256L, 256L, kPool, 512L, 512L, kPool, 512L, 512L, kPool}) {
    if (out == kPool) {
      features.append<MaxPool2d>(PoolOptions{.kernel = 2});
      continue;
    }
    blocks.push_back(features.size());
    features.append<Conv2d>(
        Conv2dOptions{.in = in, .out = out, .kernel = 3, .padding = 1, .bias = false});
    features.append<BatchNorm2d>(out);
    features.append<ReLU>();
    in = out;
  }
  if (options.checkpointed) features.set_checkpoints(blocks);
}

Tensor Vgg11Cifar::forward(const Tensor& x) {
  return classifier(features(x).flatten(1));
}

}  // namespace minidl::nn
