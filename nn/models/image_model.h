// The image classifiers of nn/models by their names, for programs that let the user choose.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "minidl/nn/module.h"

namespace minidl::nn {

/// The images that a classifier is built for, and how it is run.
struct ImageModelOptions {
  std::int64_t channels = 3;
  std::int64_t height = 32;
  std::int64_t width = 32;
  std::int64_t classes = 10;
  /// Whether the model's blocks are checkpoints (core/autograd/checkpoint.h), which takes the
  /// memory of their inputs and of one block in place of all of them, and computes them twice.
  bool checkpointed = false;
};

/// What make_image_model knows: "tiny_cnn", "vgg11_cifar" and so on.
std::vector<std::string> image_model_names();

/// A new model, [N, channels, height, width] -> logits [N, classes]. Throws Error listing the names
/// for another one, and where the model cannot take images of this size.
std::unique_ptr<ModuleBase> make_image_model(const std::string& name,
                                             const ImageModelOptions& options = {});

}  // namespace minidl::nn
