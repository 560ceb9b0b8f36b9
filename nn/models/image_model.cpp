#include "minidl/nn/models/image_model.h"

#include <algorithm>
#include <array>

#include "minidl/kernels/common/check.h"
#include "minidl/nn/models/cnn.h"
#include "minidl/nn/models/resnet.h"

namespace minidl::nn {
namespace {

struct Entry {
  const char* name;
  std::unique_ptr<ModuleBase> (*make)(const ImageModelOptions&);
};

template <class M>
std::unique_ptr<ModuleBase> make(const ImageModelOptions& options) {
  return std::make_unique<M>(options);
}

constexpr std::array<Entry, 3> kModels{{{"tiny_cnn", make<TinyCnn>},
                                        {"vgg11_cifar", make<Vgg11Cifar>},
                                        {"resnet18_cifar", make<Resnet18Cifar>}}};

}  // namespace

std::vector<std::string> image_model_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kModels) names.emplace_back(entry.name);
  return names;
}

std::unique_ptr<ModuleBase> make_image_model(const std::string& name,
                                             const ImageModelOptions& options) {
  for (const Entry& entry : kModels) {
    if (name == entry.name) return entry.make(options);
  }
  fail("make_image_model: there is no model '{}'; the known ones are {}", name,
       fmt::join(image_model_names(), ", "));
}

}  // namespace minidl::nn
