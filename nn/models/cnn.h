// Small networks for images of 28x28 or 32x32 pixels.
#pragma once

#include "minidl/nn/models/image_model.h"
#include "minidl/nn/modules/activation.h"
#include "minidl/nn/modules/batch_norm.h"
#include "minidl/nn/modules/container.h"
#include "minidl/nn/modules/conv.h"
#include "minidl/nn/modules/linear.h"
#include "minidl/nn/modules/pool.h"

namespace minidl::nn {

/// Two 3x3 convolutions of 32 and 64 channels with ReLU, a 2x2 maximum, and two linear layers of
/// 128 units and the classes, with dropout in between: PyTorch's MNIST example, padded. Up to the
/// maximum it is one block.
class TinyCnn : public Module<TinyCnn> {
 public:
  explicit TinyCnn(const ImageModelOptions& options = {});
  Tensor forward(const Tensor& x);  ///< [N, C, H, W] -> logits [N, classes]

  Conv2d conv1;
  Conv2d conv2;
  Dropout dropout1{*this, "dropout1", 0.25};
  Linear fc1;
  Dropout dropout2{*this, "dropout2", 0.5};
  Linear fc2;

 private:
  bool checkpointed_;
};

/// VGG11 (Simonyan and Zisserman 2015) for images of 32x32: eight 3x3 convolutions, each followed
/// by batch norm and ReLU, five 2x2 maxima, and one linear layer of 512 inputs. Its `features` are
/// numbered as torchvision's vgg11_bn; the head is the CIFAR one, not ImageNet's. Each convolution
/// begins a block.
class Vgg11Cifar : public Module<Vgg11Cifar> {
 public:
  explicit Vgg11Cifar(const ImageModelOptions& options = {});
  Tensor forward(const Tensor& x);  ///< [N, C, 32, 32] -> logits [N, classes]

  Sequential features{*this, "features"};
  Linear classifier;
};

}  // namespace minidl::nn
