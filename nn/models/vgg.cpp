#include "minidl/nn/models/vgg.h"

#include "minidl/core/grad_mode.h"
#include "minidl/kernels/common/check.h"
#include "minidl/nn/init.h"
#include "minidl/nn/modules/activation.h"
#include "minidl/nn/modules/batch_norm.h"
#include "minidl/nn/modules/conv.h"
#include "minidl/nn/modules/linear.h"

namespace minidl::nn {
namespace {

constexpr std::array<std::int64_t, 5> kWidths{64, 128, 256, 512, 512};
constexpr std::int64_t kHidden = 4096;

void append_stage(Sequential& features, std::int64_t count, std::int64_t in, std::int64_t out,
                  bool batch_norm) {
  for (std::int64_t i = 0; i < count; ++i) {
    features.append<Conv2d>(
        Conv2dOptions{.in = i == 0 ? in : out, .out = out, .kernel = 3, .padding = 1});
    if (batch_norm) features.append<BatchNorm2d>(out);
    features.append<ReLU>();
  }
  features.append<MaxPool2d>(PoolOptions{.kernel = 2});
}

void init_parameters(ModuleBase& net) {
  net.apply([](ModuleBase& module) {
    const NoGradGuard no_grad;
    if (const auto* conv = dynamic_cast<Conv2d*>(&module)) {
      init::kaiming_normal_(conv->weight, /*fan_out=*/true);
      conv->bias.zero_();
    } else if (const auto* linear = dynamic_cast<Linear*>(&module)) {
      linear->weight.normal_(0, 0.01);
      linear->bias.zero_();
    }
  });
}

}  // namespace

VggOptions vgg11(std::int64_t classes) {
  return {.convolutions = {1, 1, 2, 2, 2}, .classes = classes};
}

VggOptions vgg13(std::int64_t classes) {
  return {.convolutions = {2, 2, 2, 2, 2}, .classes = classes};
}

VggOptions vgg16(std::int64_t classes) {
  return {.convolutions = {2, 2, 3, 3, 3}, .classes = classes};
}

VggOptions vgg19(std::int64_t classes) {
  return {.convolutions = {2, 2, 4, 4, 4}, .classes = classes};
}

VggOptions vgg11_bn(std::int64_t classes) {
  return {.convolutions = {1, 1, 2, 2, 2}, .batch_norm = true, .classes = classes};
}

VggOptions vgg13_bn(std::int64_t classes) {
  return {.convolutions = {2, 2, 2, 2, 2}, .batch_norm = true, .classes = classes};
}

VggOptions vgg16_bn(std::int64_t classes) {
  return {.convolutions = {2, 2, 3, 3, 3}, .batch_norm = true, .classes = classes};
}

VggOptions vgg19_bn(std::int64_t classes) {
  return {.convolutions = {2, 2, 4, 4, 4}, .batch_norm = true, .classes = classes};
}

Vgg::Vgg(const VggOptions& options) {
  std::int64_t in = options.channels;
  for (std::size_t stage = 0; stage < kWidths.size(); ++stage) {
    check(options.convolutions[stage] > 0, "Vgg: every stage needs a convolution, got {} of them",
          options.convolutions[stage]);
    append_stage(features, options.convolutions[stage], in, kWidths[stage], options.batch_norm);
    in = kWidths[stage];
  }
  classifier.append<Linear>(LinearOptions{.in = in * 7 * 7, .out = kHidden});
  classifier.append<ReLU>();
  classifier.append<Dropout>(options.dropout);
  classifier.append<Linear>(LinearOptions{.in = kHidden, .out = kHidden});
  classifier.append<ReLU>();
  classifier.append<Dropout>(options.dropout);
  classifier.append<Linear>(LinearOptions{.in = kHidden, .out = options.classes});
  init_parameters(*this);
}

Tensor Vgg::forward(const Tensor& x) {
  return classifier(avgpool(features(x)).flatten(1));
}

}  // namespace minidl::nn
