#include "minidl/nn/models/resnet.h"

#include "minidl/core/ops/elementwise.h"
#include "minidl/nn/init.h"

namespace minidl::nn {
namespace {

Conv2dOptions conv3x3(std::int64_t in, std::int64_t out, std::int64_t stride = 1) {
  return {.in = in, .out = out, .kernel = 3, .stride = stride, .padding = 1, .bias = false};
}

void append_stage(Sequential& stage, const BasicBlockOptions& first) {
  stage.append<BasicBlock>(first);
  stage.append<BasicBlock>(BasicBlockOptions{.in = first.out, .out = first.out});
}

}  // namespace

BasicBlock::BasicBlock(const BasicBlockOptions& options)
    : conv1(*this, "conv1", conv3x3(options.in, options.out, options.stride)),
      bn1(*this, "bn1", options.out),
      conv2(*this, "conv2", conv3x3(options.out, options.out)),
      bn2(*this, "bn2", options.out) {
  if (options.stride == 1 && options.in == options.out) return;
  downsample.append<Conv2d>(Conv2dOptions{
      .in = options.in, .out = options.out, .kernel = 1, .stride = options.stride, .bias = false});
  downsample.append<BatchNorm2d>(options.out);
}

Tensor BasicBlock::forward(const Tensor& x) {
  const Tensor residual = bn2(conv2(relu(bn1(conv1(x)))));
  return relu(residual + downsample(x));
}

Resnet18Cifar::Resnet18Cifar(const ImageModelOptions& options)
    : conv1(*this, "conv1", conv3x3(options.channels, 64)),
      fc(*this, "fc", {.in = 512, .out = options.classes}) {
  append_stage(layer1, {.in = 64, .out = 64});
  append_stage(layer2, {.in = 64, .out = 128, .stride = 2});
  append_stage(layer3, {.in = 128, .out = 256, .stride = 2});
  append_stage(layer4, {.in = 256, .out = 512, .stride = 2});
  for (const auto& [path, module] : named_modules()) {
    if (const auto* conv = dynamic_cast<Conv2d*>(module)) {
      init::kaiming_normal_(conv->weight, /*fan_out=*/true);
    }
  }
}

Tensor Resnet18Cifar::forward(const Tensor& x) {
  Tensor h = relu(bn1(conv1(x)));
  h = layer4(layer3(layer2(layer1(h))));
  return fc(h.mean({2, 3}));
}

}  // namespace minidl::nn
