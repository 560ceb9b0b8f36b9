// The contract: torchvision's models have their names and shapes here, so its weights load
// unchanged and give its logits. The latter wants torchvision: tests/fixtures/torchvision_models
// writes what MINIDL_TORCHVISION_FIXTURES names, and the ctest "torchvision: logits" does both.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "minidl/core/grad_mode.h"
#include "minidl/nn/models/resnet.h"
#include "minidl/nn/models/vgg.h"
#include "minidl/nn/serialization.h"
#include "tests/catch.h"
#include "tests/device.h"

using namespace minidl;
using test::test_device;

namespace {

struct VggEntry {
  const char* name;
  nn::VggOptions options;
};
const std::vector<VggEntry> kVggs{{"vgg11", nn::vgg11()},       {"vgg13", nn::vgg13()},
                                  {"vgg16", nn::vgg16()},       {"vgg19", nn::vgg19()},
                                  {"vgg11_bn", nn::vgg11_bn()}, {"vgg13_bn", nn::vgg13_bn()},
                                  {"vgg16_bn", nn::vgg16_bn()}, {"vgg19_bn", nn::vgg19_bn()}};

std::unique_ptr<nn::ModuleBase> make_model(const std::string& name) {
  if (name == "resnet18") return std::make_unique<nn::ResNet>(nn::resnet18());
  if (name == "resnet34") return std::make_unique<nn::ResNet>(nn::resnet34());
  if (name == "resnet50") return std::make_unique<nn::ResNet>(nn::resnet50());
  for (const VggEntry& vgg : kVggs) {
    if (name == vgg.name) return std::make_unique<nn::Vgg>(vgg.options);
  }
  throw Error("no model called " + name);
}

// "layer1.0.conv1.weight 64 64 3 3"
std::vector<std::string> entries(const nn::ModuleBase& model) {
  std::vector<std::string> result;
  for (const NamedTensor& entry : model.state_dict()) {
    std::string line = entry.name;
    for (int dim = 0; dim < entry.tensor.dim(); ++dim) {
      line += " " + std::to_string(entry.tensor.size(dim));
    }
    result.push_back(line);
  }
  std::sort(result.begin(), result.end());
  return result;
}

std::map<std::string, std::vector<std::string>> torchvision_entries() {
  const std::string path = std::string(MINIDL_SOURCE_DIR) + "/tests/fixtures/torchvision_names.txt";
  std::ifstream file(path);
  INFO(path);
  REQUIRE(file.good());
  std::map<std::string, std::vector<std::string>> result;
  for (std::string line; std::getline(file, line);) {
    const std::size_t space = line.find(' ');
    result[line.substr(0, space)].push_back(line.substr(space + 1));
  }
  for (auto& [name, lines] : result) std::sort(lines.begin(), lines.end());
  return result;
}

Tensor find(const StateDict& state, const std::string& name) {
  for (const NamedTensor& entry : state) {
    if (entry.name == name) return entry.tensor;
  }
  throw Error("no tensor called " + name);
}

}  // namespace

TEST_CASE("torchvision: names, shapes and counts", "[torchvision][cpu]") {
  const auto expected = torchvision_entries();
  CHECK(expected.at("resnet50").size() == 320);
  for (const char* name : {"resnet18", "resnet34", "resnet50", "vgg19_bn"}) {
    INFO(name);
    CHECK(entries(*make_model(name)) == expected.at(name));
  }
}

// Their linear layers take seconds to fill, and are those of vgg19_bn.
TEST_CASE("torchvision: how many convolutions of which width VGG has", "[torchvision][cpu]") {
  const auto expected = torchvision_entries();
  for (const auto& [name, options] : kVggs) {
    INFO(name);
    std::map<std::string, std::int64_t> widths;
    bool batch_norm = false;
    for (const std::string& line : expected.at(name)) {
      std::istringstream words(line);
      std::string entry, width;
      words >> entry >> width;
      if (line.ends_with(" 3 3")) ++widths[width];
      if (entry.ends_with("running_mean")) batch_norm = true;
    }
    const auto& counts = options.convolutions;
    CHECK(widths == std::map<std::string, std::int64_t>{{"64", counts[0]},
                                                        {"128", counts[1]},
                                                        {"256", counts[2]},
                                                        {"512", counts[3] + counts[4]}});
    CHECK(counts[3] == counts[4]);
    CHECK(batch_norm == options.batch_norm);
  }
}

TEST_CASE("torchvision: its weights give its logits", "[torchvision_files]") {
  const char* folder = std::getenv("MINIDL_TORCHVISION_FIXTURES");
  if (folder == nullptr) {
    std::cout << "SKIPPED: MINIDL_TORCHVISION_FIXTURES is not set\n";
    return;
  }
  const NoGradGuard no_grad;
  for (const char* name : {"resnet18", "resnet34", "resnet50", "vgg11", "vgg11_bn"}) {
    INFO(name);
    const std::string path = std::string(folder) + "/" + name;
    const auto model = make_model(name);
    CHECK(load(*model, path + ".safetensors").clean());
    model->to(test_device());
    model->eval();
    const StateDict io = load_safetensors(path + ".io.safetensors").tensors;
    const std::vector<double> expected = find(io, "logits").to_vector();
    const std::vector<double> actual = model->call(find(io, "input").to(test_device())).to_vector();
    REQUIRE(actual.size() == expected.size());
    double largest = 0, off = 0;
    for (std::size_t i = 0; i < actual.size(); ++i) {
      largest = std::max(largest, std::abs(expected[i]));
      off = std::max(off, std::abs(actual[i] - expected[i]));
    }
    CHECK(off <= 1e-4 * largest);
  }
}

TEST_CASE("torchvision: a model that is not ResNet's or VGG's says so", "[torchvision]") {
  CHECK_THROWS_WITH(nn::ResNet({.blocks = {1, 0, 1, 1}}), Contains("every stage needs a block"));
  CHECK_THROWS_WITH(nn::Vgg({.convolutions = {1, 1, 0, 1, 1}}),
                    Contains("every stage needs a convolution, got 0"));
}
