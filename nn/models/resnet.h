// Residual networks (He et al. 2016), with torchvision's names and initialisation.
#pragma once

#include <array>

#include "minidl/nn/models/image_model.h"
#include "minidl/nn/modules/batch_norm.h"
#include "minidl/nn/modules/container.h"
#include "minidl/nn/modules/conv.h"
#include "minidl/nn/modules/linear.h"
#include "minidl/nn/modules/pool.h"

namespace minidl::nn {

struct ResidualBlockOptions {
  std::int64_t in = 0;      ///< channels
  std::int64_t width = 0;   ///< channels of the 3x3 convolutions
  std::int64_t stride = 1;  ///< of the first 3x3 convolution
};

/// Two 3x3 convolutions and a shortcut around them:
/// relu(bn2(conv2(relu(bn1(conv1(x))))) + downsample(x)). `downsample` is a 1x1 convolution with
/// batch norm where channels or stride change the shape, and empty, which is the identity,
/// elsewhere.
class BasicBlock : public Module<BasicBlock> {
 public:
  static constexpr std::int64_t kExpansion = 1;  ///< channels of the result for one of width

  explicit BasicBlock(const ResidualBlockOptions& options);
  Tensor forward(const Tensor& x);  ///< [N, in, H, W] -> [N, width, ceil(H / s), ceil(W / s)]

  Conv2d conv1;
  BatchNorm2d bn1;
  Conv2d conv2;
  BatchNorm2d bn2;
  Sequential downsample{*this, "downsample"};
};

/// A 1x1 convolution to fewer channels, a 3x3 one, which has the stride (version 1.5), and a 1x1
/// one to four times as many, with the same kind of shortcut.
class Bottleneck : public Module<Bottleneck> {
 public:
  static constexpr std::int64_t kExpansion = 4;

  explicit Bottleneck(const ResidualBlockOptions& options);
  Tensor forward(const Tensor& x);  ///< [N, in, H, W] -> [N, 4 width, ceil(H / s), ceil(W / s)]

  Conv2d conv1;
  BatchNorm2d bn1;
  Conv2d conv2;
  BatchNorm2d bn2;
  Conv2d conv3;
  BatchNorm2d bn3;
  Sequential downsample{*this, "downsample"};
};

struct ResNetOptions {
  std::array<std::int64_t, 4> blocks{2, 2, 2, 2};  ///< in each stage
  bool bottleneck = false;                         ///< Bottleneck in place of BasicBlock
  std::int64_t channels = 3;                       ///< of the images
  std::int64_t classes = 1000;
  bool checkpointed = false;  ///< every block (core/autograd/checkpoint.h)
};

ResNetOptions resnet18(std::int64_t classes = 1000);
ResNetOptions resnet34(std::int64_t classes = 1000);
ResNetOptions resnet50(std::int64_t classes = 1000);

/// The ImageNet models: a 7x7 convolution of stride 2, a 3x3 maximum of stride 2, four stages of
/// 64, 128, 256 and 512 channels (times four with bottlenecks), the last three halving the image, a
/// global average and one linear layer. torchvision's weights load unchanged.
///
///     nn::ResNet net(nn::resnet50());
///     dl::load(net, "resnet50.safetensors");
class ResNet : public Module<ResNet> {
 public:
  explicit ResNet(const ResNetOptions& options = {});
  Tensor forward(const Tensor& x);  ///< [N, C, H, W] -> logits [N, classes]

  Conv2d conv1;
  BatchNorm2d bn1{*this, "bn1", 64};
  MaxPool2d maxpool{*this, "maxpool", {.kernel = 3, .stride = 2, .padding = 1}};
  Sequential layer1{*this, "layer1"};
  Sequential layer2{*this, "layer2"};
  Sequential layer3{*this, "layer3"};
  Sequential layer4{*this, "layer4"};
  Linear fc;
};

/// ResNet-18 in its form for small images (He et al. 2016, section 4.2, with the widths of their
/// ImageNet model): a 3x3 convolution of stride 1 and no maximum at the start, then the stages of
/// ResNet-18, whose blocks are those to checkpoint. Takes images of any size.
class Resnet18Cifar : public Module<Resnet18Cifar> {
 public:
  explicit Resnet18Cifar(const ImageModelOptions& options = {});
  Tensor forward(const Tensor& x);  ///< [N, C, H, W] -> logits [N, classes]

  Conv2d conv1;
  BatchNorm2d bn1{*this, "bn1", 64};
  Sequential layer1{*this, "layer1"};
  Sequential layer2{*this, "layer2"};
  Sequential layer3{*this, "layer3"};
  Sequential layer4{*this, "layer4"};
  Linear fc;
};

}  // namespace minidl::nn
