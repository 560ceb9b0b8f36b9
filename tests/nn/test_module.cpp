// Registration, names, state and conversion of modules; their hooks are in test_module_hooks.cpp.

#include <string>
#include <vector>

#include "minidl/core/ops/elementwise.h"
#include "minidl/core/random.h"
#include "minidl/kernels/common/error.h"
#include "minidl/nn/module.h"
#include "minidl/nn/modules/batch_norm.h"
#include "minidl/nn/modules/container.h"
#include "minidl/nn/modules/conv.h"
#include "minidl/nn/modules/linear.h"
#include "minidl/nn/serialization.h"
#include "tests/catch.h"
#include "tests/folder.h"

using namespace minidl;
using Values = std::vector<double>;
using Names = std::vector<std::string>;

namespace {

struct Block : nn::Module<Block> {
  Block() = default;
  Block(nn::ModuleBase& parent, std::string_view name) { parent.register_module(name, *this); }

  nn::Linear fc{*this, "fc", {.in = 2, .out = 2}};
  Tensor gain = register_parameter("gain", ones({2}));
  Tensor seen = register_buffer("seen", zeros({}, {.dtype = i64}));

  Tensor forward(const Tensor& x) { return fc(x) * gain; }
};

struct Net : nn::Module<Net> {
  Tensor scale = register_parameter("scale", full({1}, 2));
  Block first{*this, "first"};
  nn::Sequential rest{*this, "rest"};
  Tensor offset = register_buffer("offset", zeros({2}));

  Net() {
    rest.append<nn::Linear>(nn::LinearOptions{.in = 2, .out = 3});
    rest.append<nn::BatchNorm1d>(3);
  }
  Tensor forward(const Tensor& x) { return rest(first(x) + offset) * scale; }
};

// Gives out its protected parts.
struct Bare : nn::Module<Bare> {
  using nn::ModuleBase::register_buffer;
  using nn::ModuleBase::register_parameter;
  Tensor forward(const Tensor& x) { return x; }
};

Names names_of(const StateDict& state) {
  Names names;
  for (const auto& entry : state) names.push_back(entry.name);
  return names;
}

StateDict copy_of(const StateDict& state) {
  StateDict copy;
  for (const auto& [name, tensor] : state) copy.push_back({name, tensor.clone()});
  return copy;
}

bool equal_values(const StateDict& a, const StateDict& b) {
  if (names_of(a) != names_of(b)) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].tensor.to_vector() != b[i].tensor.to_vector()) return false;
  }
  return true;
}

StateDict without(StateDict state, const std::string& name) {
  std::erase_if(state, [&](const NamedTensor& entry) { return entry.name == name; });
  return state;
}

}  // namespace

TEST_CASE("module: names and order of everything below", "[module]") {
  Net net;
  CHECK(names_of(net.named_parameters()) == Names{"scale", "first.gain", "first.fc.weight",
                                                  "first.fc.bias", "rest.0.weight", "rest.0.bias",
                                                  "rest.1.weight", "rest.1.bias"});
  CHECK(names_of(net.named_buffers()) == Names{"offset", "first.seen", "rest.1.running_mean",
                                               "rest.1.running_var", "rest.1.num_batches_tracked"});
  CHECK(names_of(net.state_dict()) ==
        Names{"scale", "offset", "first.gain", "first.seen", "first.fc.weight", "first.fc.bias",
              "rest.0.weight", "rest.0.bias", "rest.1.weight", "rest.1.bias", "rest.1.running_mean",
              "rest.1.running_var", "rest.1.num_batches_tracked"});
  CHECK(net.parameters().size() == 8);
  CHECK(net.parameter_count() == 1 + 2 + 4 + 2 + 6 + 3 + 3 + 3);
}

TEST_CASE("module: named_modules starts with the module itself", "[module]") {
  Net net;
  Names paths;
  for (const auto& entry : net.named_modules()) paths.push_back(entry.first);
  CHECK(paths == Names{"", "first", "first.fc", "rest", "rest.0", "rest.1"});
  CHECK(net.named_modules()[0].second == &net);
  CHECK(net.named_modules()[1].second == &net.first);
  CHECK(net.name().empty());
  CHECK(net.first.fc.name() == "fc");
}

TEST_CASE("module: parameters are leaves that learn, buffers are not", "[module]") {
  Bare bare;
  const Tensor value = ones({3});
  const Tensor parameter = bare.register_parameter("w", value);
  const Tensor buffer = bare.register_buffer("b", ones({2}));
  CHECK(parameter.is_leaf());
  CHECK(parameter.requires_grad());
  CHECK_FALSE(value.requires_grad());
  CHECK(parameter.storage().tag() == MemoryTag::param);
  CHECK(buffer.storage().tag() == MemoryTag::param);
  CHECK_FALSE(buffer.requires_grad());
  CHECK(bare.parameters()[0].is_same(parameter));
}

TEST_CASE("module: a computed value becomes a leaf when registered", "[module]") {
  Bare bare;
  const Tensor x = ones({2}, {.requires_grad = true});
  CHECK(bare.register_parameter("w", x * 2).is_leaf());
  CHECK_FALSE(bare.register_buffer("b", x * 2).requires_grad());
}

TEST_CASE("module: names are unique, not empty and without dots", "[module]") {
  Bare bare;
  Bare child;
  bare.register_parameter("a", ones({1}));
  bare.register_buffer("b", ones({1}));
  bare.register_module("c", child);
  for (const char* name : {"a", "b", "c"}) {
    CAPTURE(name);
    Bare other;
    const std::string text = "two parts named '" + std::string(name) + "'";
    CHECK_THROWS_WITH(bare.register_parameter(name, ones({1})), Contains(text));
    CHECK_THROWS_WITH(bare.register_buffer(name, ones({1})), Contains(text));
    CHECK_THROWS_WITH(bare.register_module(name, other), Contains(text));
  }
  Bare other;
  CHECK_THROWS_WITH(bare.register_parameter("x.y", ones({1})), Contains("x.y"));
  CHECK_THROWS_WITH(bare.register_module("", other), Contains("not empty"));
  CHECK_THROWS_WITH(other.register_module("again", child), Contains("already belongs"));
  CHECK(names_of(bare.state_dict()) == Names{"a", "b"});
}

TEST_CASE("module: integer parameters are refused and leave nothing behind", "[module]") {
  Bare bare;
  CHECK_THROWS_WITH(bare.register_parameter("w", ones({1}, {.dtype = i64})), Contains("i64"));
  CHECK(bare.parameters().empty());
}

TEST_CASE("module: state moves from one model to another", "[module]") {
  manual_seed(1);
  Net from;
  Net to;
  CHECK_FALSE(equal_values(from.state_dict(), to.state_dict()));
  CHECK(to.load_state_dict(from.state_dict()).clean());
  CHECK(equal_values(from.state_dict(), to.state_dict()));
  to.scale.detach().fill_(9);
  CHECK(from.scale.item() == 2);
}

TEST_CASE("module: state_dict hands out the module's own memory", "[module]") {
  Net net;
  const StateDict state = net.state_dict();
  CHECK(state[0].tensor.storage() == net.scale.storage());
  CHECK_FALSE(state[0].tensor.requires_grad());
  CHECK(net.load_state_dict(state).clean());
}

TEST_CASE("module: loading converts to the model's dtype", "[module]") {
  Net net;
  StateDict state = copy_of(net.state_dict());
  state[0].tensor = full({1}, 7, {.dtype = f64});
  const nn::LoadReport report = net.load_state_dict(state);
  CHECK(report.clean());
  CHECK(report.converted == Names{"scale: from f64 to f32"});
  CHECK(report.to_string() == "  converted scale: from f64 to f32\n");
  CHECK(net.scale.item() == 7);
  CHECK(net.scale.dtype() == f32);
}

TEST_CASE("module: a strict load reports everything and changes nothing", "[module]") {
  Net net;
  const StateDict before = copy_of(net.state_dict());
  StateDict state = without(copy_of(before), "first.gain");
  for (auto& entry : state) {
    if (entry.tensor.is_floating_point()) entry.tensor.fill_(100);
  }
  state[0].tensor = ones({2, 2}, {.dtype = f64});  // scale
  state.push_back({"head.weight", ones({1})});
  CHECK_THROWS_WITH(net.load_state_dict(state),
                    Contains("missing first.gain") && Contains("unexpected head.weight") &&
                        Contains("mismatched scale: the model has f32[1], the state f64[2, 2]"));
  CHECK(equal_values(net.state_dict(), before));
}

TEST_CASE("module: a loose load takes what fits and reports the rest", "[module]") {
  Net net;
  StateDict state = without(copy_of(net.state_dict()), "first.gain");
  for (auto& entry : state) {
    if (entry.name == "offset") entry.tensor.fill_(5);
  }
  state[0].tensor = ones({2});
  state.push_back({"extra", ones({1})});
  const nn::LoadReport report = net.load_state_dict(state, /*strict=*/false);
  CHECK_FALSE(report.clean());
  CHECK(report.missing == Names{"first.gain"});
  CHECK(report.unexpected == Names{"extra"});
  CHECK(report.mismatched == Names{"scale: the model has f32[1], the state f32[2]"});
  CHECK(report.to_string() ==
        "  missing first.gain\n  unexpected extra\n"
        "  mismatched scale: the model has f32[1], the state f32[2]\n");
  CHECK(net.offset.to_vector() == Values{5, 5});
  CHECK(net.scale.item() == 2);
}

TEST_CASE("module: a file that does not fit is named, with what does not fit", "[module]") {
  const test::Folder folder;
  Net net;
  StateDict state = without(copy_of(net.state_dict()), "offset");
  state[0].tensor = ones({2});
  save_safetensors(folder / "t", state);
  const StateDict before = copy_of(net.state_dict());
  CHECK_THROWS_WITH(load(net, folder / "t"),
                    Contains((folder / "t") + ": load_state_dict: ") &&
                        Contains("missing offset") &&
                        Contains("mismatched scale: the model has f32[1], the state f32[2]"));
  CHECK(equal_values(net.state_dict(), before));
  CHECK_FALSE(load(net, folder / "t", /*strict=*/false).clean());
}

TEST_CASE("module: training mode reaches every module", "[module]") {
  Net net;
  CHECK(net.training());
  net.eval();
  for (const auto& entry : net.named_modules()) CHECK_FALSE(entry.second->training());
  net.train();
  for (const auto& entry : net.named_modules()) CHECK(entry.second->training());
}

TEST_CASE("module: to(dtype) converts floating point behind the same handles", "[module]") {
  Net net;
  const Tensor handle = net.first.fc.weight;
  const Values before = handle.to_vector();
  net.to(f64);
  CHECK(handle.dtype() == f64);
  CHECK(handle.to_vector() == before);
  CHECK(handle.is_leaf());
  CHECK(handle.requires_grad());
  CHECK(handle.storage().tag() == MemoryTag::param);
  CHECK(net.offset.dtype() == f64);
  CHECK(net.first.seen.dtype() == i64);
  CHECK(net(ones({4, 2}, {.dtype = f64})).dtype() == f64);
  CHECK_THROWS_WITH(net.to(i32), Contains("i32"));
  CHECK_NOTHROW(net.to(default_device()));
  CHECK_THROWS_WITH(net.to(Device{DeviceType::cuda, 999}), Contains("cuda:999"));
}

TEST_CASE("module: convolution weights keep their layout when converted", "[module]") {
  nn::Conv2d conv({.in = 2, .out = 3, .kernel = 3});
  conv.to(f64);
  CHECK(conv.weight.is_channels_last());
}

TEST_CASE("module: frozen parameters get no gradient", "[module]") {
  Net net;
  net.first.requires_grad_(false);
  net(rand({4, 2})).sum().backward();
  CHECK_FALSE(net.first.gain.grad().defined());
  CHECK(net.scale.grad().defined());
  net.zero_grad();
  CHECK_FALSE(net.scale.grad().defined());
  net.requires_grad_(true);
  net(rand({4, 2})).sum().backward();
  CHECK(net.first.gain.grad().defined());
}

TEST_CASE("module: forward through the base class", "[module]") {
  Net net;
  net.eval();
  nn::ModuleBase& base = net;
  const Tensor x = rand({4, 2});
  CHECK(base(x).to_vector() == net(x).to_vector());
  CHECK(base.call(x).to_vector() == net(x).to_vector());
}

TEST_CASE("module: errors carry the path of the module", "[module]") {
  Net net;
  CHECK_THROWS_WITH(net(ones({4, 7})), Contains("first.fc: linear: an input with 7 features"));
  net.rest.append<nn::Conv2d>(nn::Conv2dOptions{.in = 1, .out = 1, .kernel = 1});
  CHECK_THROWS_WITH(net(ones({4, 2})), Contains("rest.2: conv2d:"));
}

TEST_CASE("module: those that map more than a tensor cannot be called through the base",
          "[module]") {
  struct TwoInputs : nn::Module<TwoInputs> {
    Tensor forward(const Tensor& a, const Tensor& b) { return a + b; }
  };
  TwoInputs alone;
  nn::ModuleBase& base = alone;
  CHECK_THROWS_WITH(base.call(ones({1})), "this module does not map one tensor to one tensor");
  nn::Sequential sequence;
  Bare owner;
  owner.register_module("body", sequence);
  sequence.append<TwoInputs>();
  CHECK_THROWS_WITH(sequence(ones({1})),
                    "body.0: this module does not map one tensor to one tensor");
}
