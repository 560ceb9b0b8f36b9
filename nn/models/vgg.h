// Very deep plain networks (Simonyan and Zisserman 2015), with torchvision's names and
// initialisation.
#pragma once

#include <array>

#include "minidl/nn/models/image_model.h"
#include "minidl/nn/modules/container.h"
#include "minidl/nn/modules/pool.h"

namespace minidl::nn {

struct VggOptions {
  std::array<std::int64_t, 5> convolutions{1, 1, 2, 2, 2};  ///< in each stage
  bool batch_norm = false;                                  ///< behind each convolution
  std::int64_t channels = 3;                                ///< of the images
  std::int64_t classes = 1000;
  double dropout = 0.5;
};

VggOptions vgg11(std::int64_t classes = 1000);
VggOptions vgg13(std::int64_t classes = 1000);
VggOptions vgg16(std::int64_t classes = 1000);
VggOptions vgg19(std::int64_t classes = 1000);
VggOptions vgg11_bn(std::int64_t classes = 1000);
VggOptions vgg13_bn(std::int64_t classes = 1000);
VggOptions vgg16_bn(std::int64_t classes = 1000);
VggOptions vgg19_bn(std::int64_t classes = 1000);

/// The ImageNet models: five stages of 3x3 convolutions with ReLU and 64, 128, 256, 512 and 512
/// channels, each ending in a 2x2 maximum, an average to 7x7 and three linear layers with dropout
/// in between. Takes images from 32x32 on; torchvision's weights load unchanged.
///
///     nn::Vgg net(nn::vgg11_bn());
///     dl::load(net, "vgg11_bn.safetensors");
class Vgg : public Module<Vgg> {
 public:
  explicit Vgg(const VggOptions& options = {});
  Tensor forward(const Tensor& x);  ///< [N, C, H, W] -> logits [N, classes]

  Sequential features{*this, "features"};
  AdaptiveAvgPool2d avgpool{*this, "avgpool", 7};
  Sequential classifier{*this, "classifier"};
};

}  // namespace minidl::nn
