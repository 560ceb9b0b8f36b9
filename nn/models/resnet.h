// Residual networks (He et al. 2016).
#pragma once

#include "minidl/nn/models/image_model.h"
#include "minidl/nn/modules/batch_norm.h"
#include "minidl/nn/modules/container.h"
#include "minidl/nn/modules/conv.h"
#include "minidl/nn/modules/linear.h"

namespace minidl::nn {

struct BasicBlockOptions {
  std::int64_t in = 0;      ///< channels
  std::int64_t out = 0;     ///< channels
  std::int64_t stride = 1;  ///< of the first convolution
};

/// Two 3x3 convolutions and a shortcut around them:
/// relu(bn2(conv2(relu(bn1(conv1(x))))) + downsample(x)). `downsample` is a 1x1 convolution with
/// batch norm where channels or stride change the shape, and empty, which is the identity,
/// elsewhere.
class BasicBlock : public Module<BasicBlock> {
 public:
  explicit BasicBlock(const BasicBlockOptions& options);
  Tensor forward(const Tensor& x);  ///< [N, in, H, W] -> [N, out, ceil(H / s), ceil(W / s)]

  Conv2d conv1;
  BatchNorm2d bn1;
  Conv2d conv2;
  BatchNorm2d bn2;
  Sequential downsample{*this, "downsample"};
};

/// ResNet-18 in its form for small images (He et al. 2016, section 4.2, with the widths of their
/// ImageNet model): a 3x3 convolution of stride 1 and no maximum at the start, four stages of two
/// blocks with 64, 128, 256 and 512 channels, the last three halving the image, a global average
/// and one linear layer. Names and initialisation are torchvision's. Takes images of any size.
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
