#include "minidl/nn/models/resnet.h"

#include "minidl/core/ops/elementwise.h"
#include "minidl/kernels/common/check.h"
#include "minidl/nn/init.h"

namespace minidl::nn {
namespace {

Conv2dOptions conv3x3(std::int64_t in, std::int64_t out, std::int64_t stride = 1) {
  return {.in = in, .out = out, .kernel = 3, .stride = stride, .padding = 1, .bias = false};
}

Conv2dOptions conv1x1(std::int64_t in, std::int64_t out, std::int64_t stride = 1) {
  return {.in = in, .out = out, .kernel = 1, .stride = stride, .bias = false};
}

void make_shortcut(Sequential& downsample, const ResidualBlockOptions& options, std::int64_t out) {
  if (options.stride == 1 && options.in == out) return;
  downsample.append<Conv2d>(conv1x1(options.in, out, options.stride));
  downsample.append<BatchNorm2d>(out);
}

// Returns the channels that come out.
template <class Block>
std::int64_t append_stage(Sequential& stage, std::int64_t count, std::int64_t in,
                          std::int64_t width, std::int64_t stride) {
  for (std::int64_t i = 0; i < count; ++i) {
    stage.append<Block>(ResidualBlockOptions{in, width, i == 0 ? stride : 1});
    in = width * Block::kExpansion;
  }
  return in;
}

// All four stages of a net.
template <class Block, class Net>
void append_stages(Net& net, const std::array<std::int64_t, 4>& blocks) {
  std::int64_t channels = append_stage<Block>(net.layer1, blocks[0], 64, 64, 1);
  channels = append_stage<Block>(net.layer2, blocks[1], channels, 128, 2);
  channels = append_stage<Block>(net.layer3, blocks[2], channels, 256, 2);
  append_stage<Block>(net.layer4, blocks[3], channels, 512, 2);
}

template <class Net>
void checkpoint_blocks(Net& net) {
  for (Sequential* stage : {&net.layer1, &net.layer2, &net.layer3, &net.layer4}) {
    for (std::size_t i = 0; i < stage->size(); ++i) (*stage)[i].set_checkpointed();
  }
}

void init_convolutions(ModuleBase& net) {
  net.apply([](ModuleBase& module) {
    if (const auto* conv = dynamic_cast<Conv2d*>(&module)) {
      init::kaiming_normal_(conv->weight, /*fan_out=*/true);
    }
  });
}

}  // namespace

BasicBlock::BasicBlock(const ResidualBlockOptions& options)
    : conv1(*this, "conv1", conv3x3(options.in, options.width, options.stride)),
      bn1(*this, "bn1", options.width),
      conv2(*this, "conv2", conv3x3(options.width, options.width)),
      bn2(*this, "bn2", options.width) {
  make_shortcut(downsample, options, options.width);
}

Tensor BasicBlock::forward(const Tensor& x) {
  const Tensor residual = bn2(conv2(relu(bn1(conv1(x)))));
  return relu(residual + downsample(x));
}

Bottleneck::Bottleneck(const ResidualBlockOptions& options)
    : conv1(*this, "conv1", conv1x1(options.in, options.width)),
      bn1(*this, "bn1", options.width),
      conv2(*this, "conv2", conv3x3(options.width, options.width, options.stride)),
      bn2(*this, "bn2", options.width),
      conv3(*this, "conv3", conv1x1(options.width, options.width * kExpansion)),
      bn3(*this, "bn3", options.width * kExpansion) {
  make_shortcut(downsample, options, options.width * kExpansion);
}

Tensor Bottleneck::forward(const Tensor& x) {
  const Tensor reduced = relu(bn1(conv1(x)));
  const Tensor residual = bn3(conv3(relu(bn2(conv2(reduced)))));
  return relu(residual + downsample(x));
}

ResNetOptions resnet18(std::int64_t classes) {
  return {.blocks = {2, 2, 2, 2}, .classes = classes};
}

ResNetOptions resnet34(std::int64_t classes) {
  return {.blocks = {3, 4, 6, 3}, .classes = classes};
}

ResNetOptions resnet50(std::int64_t classes) {
  return {.blocks = {3, 4, 6, 3}, .bottleneck = true, .classes = classes};
}

ResNet::ResNet(const ResNetOptions& options)
    : conv1(*this, "conv1",
            {.in = options.channels,
             .out = 64,
             .kernel = 7,
             .stride = 2,
             .padding = 3,
             .bias = false}),
      fc(*this, "fc",
         {.in = 512 * (options.bottleneck ? Bottleneck::kExpansion : BasicBlock::kExpansion),
          .out = options.classes}) {
  for (const std::int64_t count : options.blocks) {
    check(count > 0, "ResNet: every stage needs a block, got {} of them", count);
  }
  if (options.bottleneck) {
    append_stages<Bottleneck>(*this, options.blocks);
  } else {
    append_stages<BasicBlock>(*this, options.blocks);
  }
  if (options.checkpointed) checkpoint_blocks(*this);
  init_convolutions(*this);
}

Tensor ResNet::forward(const Tensor& x) {
  Tensor h = maxpool(relu(bn1(conv1(x))));
  h = layer4(layer3(layer2(layer1(h))));
  return fc(h.mean({2, 3}));
}

Resnet18Cifar::Resnet18Cifar(const ImageModelOptions& options)
    : conv1(*this, "conv1", conv3x3(options.channels, 64)),
      fc(*this, "fc", {.in = 512, .out = options.classes}) {
  append_stages<BasicBlock>(*this, resnet18().blocks);
  if (options.checkpointed) checkpoint_blocks(*this);
  init_convolutions(*this);
}

Tensor Resnet18Cifar::forward(const Tensor& x) {
  Tensor h = relu(bn1(conv1(x)));
  h = layer4(layer3(layer2(layer1(h))));
  return fc(h.mean({2, 3}));
}

}  // namespace minidl::nn
