// trace, Graph and replay around the corners; test_fake_contract.cpp shows the plain road.

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "minidl/core/grad_mode.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/core/random.h"
#include "minidl/kernels/elementwise.h"
#include "minidl/kernels/reduce.h"
#include "minidl/nn/graph/trace.h"
#include "minidl/nn/modules/activation.h"
#include "minidl/nn/modules/batch_norm.h"
#include "minidl/nn/modules/container.h"
#include "minidl/nn/modules/linear.h"
#include "tests/catch.h"
#include "tests/device.h"

using namespace minidl;
using Kind = Graph::Kind;
using test::on_test_device;

namespace {

// A module of one function, a parameter and a buffer.
struct Lambda : nn::Module<Lambda> {
  using Forward = std::function<Tensor(Lambda& self, const Tensor& x)>;
  explicit Lambda(Forward body) : body_(std::move(body)) {}
  Tensor forward(const Tensor& x) { return body_(*this, x); }

  Tensor weight = register_parameter("weight", randn({3, 3}));
  Tensor running = register_buffer("running", ones({3}));

 private:
  Forward body_;
};

const Graph::Value& value_of(const Graph& graph, const std::string& name) {
  for (const Graph::Value& value : graph.values) {
    if (value.name == name) return value;
  }
  FAIL("no value is called " << name);
  throw std::logic_error("unreachable");
}

std::vector<std::string> names_of(const Graph& graph, const std::vector<Graph::Id>& ids) {
  std::vector<std::string> names;
  for (const Graph::Id id : ids) names.push_back(id == Graph::kNone ? "-" : graph.values[id].name);
  return names;
}

using Names = std::vector<std::string>;

bool equal_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.to_vector() == b.to_vector();
}

// The minimum and the maximum of a tensor, moved by an optional third number.
class Range : public Op {
 public:
  const char* name() const override { return "range"; }
  std::string attributes() const override { return "of all"; }
  bool differentiable() const override { return false; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    return {in[0].with_shape({}), in[0].with_shape({})};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    const Shape single = Dims::filled(in[0].ndim(), 1);
    const auto extreme = [&](kernels::ReduceOp op, const kernels::View& shift,
                             const kernels::View& result) {
      kernels::reduce(ctx, op, in[0], result);
      if (shift.defined) kernels::axpy(ctx, 1, shift.broadcast_to(single), result);
    };
    extreme(kernels::ReduceOp::min, in[1], out[0].broadcast_to(single));
    extreme(kernels::ReduceOp::max, in[2], out[1].broadcast_to(single));
  }
};

}  // namespace

TEST_CASE("trace: views and detached copies of a parameter lead back to it", "[trace]") {
  Lambda net([](Lambda& self, const Tensor& x) {
    return matmul(matmul(x, self.weight.t()), self.weight.detach());
  });
  const Graph graph = trace(net, fake({2, 3}));
  REQUIRE(graph.steps.size() == 3);
  CHECK(names_of(graph, graph.steps[0].operands) == Names{"weight"});
  CHECK(names_of(graph, graph.steps[1].operands) == Names{"input", "permute_1"});
  CHECK(names_of(graph, graph.steps[2].operands) == Names{"matmul_1", "weight"});
  const Graph::Value& weight = value_of(graph, "weight");
  CHECK(weight.kind == Kind::parameter);
  CHECK(weight.tensor.is_same(net.weight));
  const Graph::Value& view = value_of(graph, "permute_1");
  CHECK(view.kind == Kind::result);
  CHECK(view.spec.alias_offset == 0);
  CHECK_FALSE(view.tensor.defined());
  CHECK(graph.parameter_count() == 9);
  CHECK(graph.result_bytes() == 2 * (2 * 3 * 4));
  const Tensor x = randn({2, 3});
  CHECK(equal_bits(replay(graph, {x})[0], net(x)));
}

TEST_CASE("trace: tied parameters are one value", "[trace]") {
  struct Tied : nn::Module<Tied> {
    Tensor first = register_parameter("first", randn({3, 3}));
    Tensor second = register_parameter("second", first);
    Tensor forward(const Tensor& x) { return matmul(matmul(x, first), second); }
  };
  Tied net;
  const Graph graph = trace(net, fake({2, 3}));
  CHECK(names_of(graph, graph.steps[1].operands) == Names{"matmul_1", "first"});
  CHECK(graph.parameter_count() == 9);
}

TEST_CASE("trace: what a module reads besides its own is held as a constant", "[trace]") {
  Graph graph;
  const Tensor x = randn({2, 3});
  Tensor expected;
  {
    const Tensor outside = randn({3});
    Lambda net([outside](Lambda& self, const Tensor& in) {
      return (in * self.running + outside) * full({3}, 2) + outside;
    });
    graph = trace(net, fake({2, 3}));
    expected = net(x).detach();
  }
  CHECK(names_of(graph, graph.steps[0].operands) == Names{"input", "running"});
  CHECK(names_of(graph, graph.steps[1].operands) == Names{"mul_1", "constant_1"});
  CHECK(names_of(graph, graph.steps[2].operands) == Names{"add_1", "constant_2"});
  CHECK(names_of(graph, graph.steps[3].operands) == Names{"mul_2", "constant_1"});
  CHECK(value_of(graph, "running").kind == Kind::buffer);
  CHECK(value_of(graph, "constant_2").tensor.to_vector() == std::vector<double>{2, 2, 2});
  CHECK(equal_bits(replay(graph, {x})[0], expected));
}

TEST_CASE("trace: results that are no result of a step", "[trace]") {
  const Tensor x = randn({2, 3});
  nn::Identity identity;
  const Graph nothing = trace(identity, fake({2, 3}));
  CHECK(nothing.steps.empty());
  CHECK(nothing.outputs == nothing.inputs);
  CHECK(replay(nothing, {x})[0].is_same(x));

  Lambda own([](Lambda& self, const Tensor&) { return self.weight; });
  const Graph parameter = trace(own, fake({1}));
  CHECK(names_of(parameter, parameter.outputs) == Names{"weight"});
  CHECK(replay(parameter, {ones({1})})[0].is_same(own.weight));

  Lambda factory([](Lambda&, const Tensor& in) { return zeros_like(in); });
  CHECK_THROWS_WITH(trace(factory, fake({2, 3})),
                    Contains("no recorded operation made output 0, fake f32[2, 3]"));
  struct Silent : nn::Module<Silent> {
    std::optional<Tensor> forward(const Tensor&) { return std::nullopt; }
  };
  Silent silent;
  CHECK_THROWS_WITH(trace(silent, fake({1})), Contains("the module returned no tensor"));
}

TEST_CASE("trace: a reshape that changes nothing is a step like any other", "[trace]") {
  Lambda net([](Lambda&, const Tensor& x) { return relu(x.reshape({2, 3})) + x; });
  const Graph graph = trace(net, fake({2, 3}));
  CHECK(names_of(graph, graph.steps[1].operands) == Names{"reshape_1"});
  CHECK(names_of(graph, graph.steps[2].operands) == Names{"relu_1", "input"});
}

TEST_CASE("trace: names are unique, whatever the module calls its parts", "[trace]") {
  struct Clashing : nn::Module<Clashing> {
    Tensor input = register_parameter("input", ones({3}));
    Tensor add_1 = register_parameter("add_1", ones({3}));
    Tensor forward(const Tensor& x) { return x + input + add_1; }
  };
  Clashing net;
  const Graph graph = trace(net, fake({3}));
  CHECK(names_of(graph, graph.inputs) == Names{"input_1"});
  CHECK(names_of(graph, graph.steps[0].operands) == Names{"input_1", "input"});
  CHECK(names_of(graph, graph.steps[1].operands) == Names{"add_2", "add_1"});
  CHECK(names_of(graph, graph.outputs) == Names{"add_3"});
}

TEST_CASE("trace: steps know the module they ran in", "[trace]") {
  struct Block : nn::Module<Block> {
    Block(nn::ModuleBase& parent, std::string_view name) { parent.register_module(name, *this); }
    nn::Linear fc{*this, "fc", {.in = 3, .out = 3}};
    Tensor forward(const Tensor& x) { return relu(fc(x)); }
  };
  struct Net : nn::Module<Net> {
    Block block{*this, "block"};
    nn::Sequential list{*this, "list"};
    Net() { list.append<nn::Tanh>(); }
    Tensor forward(const Tensor& x) { return list(block(block(x))) * 2; }
  };
  Net net;
  const Graph graph = trace(net, fake({2, 3}));
  Names modules;
  for (const Graph::Step& step : graph.steps) modules.push_back(step.module);
  CHECK(modules == Names{"block.fc", "block", "block.fc", "block", "list.0", ""});
}

TEST_CASE("trace: inputs that are not given, and nested ones", "[trace]") {
  struct Net : nn::Module<Net> {
    Tensor forward(const std::vector<Tensor>& parts, const std::optional<Tensor>& mask, int times) {
      Tensor sum = parts.at(0) + parts.at(1);
      if (mask) sum = sum * *mask;
      return sum * times;
    }
  };
  Net net;
  const std::vector<Tensor> parts{fake({2}), fake({2})};
  CHECK(trace(net, parts, std::nullopt, 3).inputs.size() == 2);
  const Graph masked = trace(net, parts, std::optional(fake({2})), 3);
  CHECK(names_of(masked, masked.inputs) == Names{"input_1", "input_2", "input_3"});
  CHECK(masked.steps.back().op->attributes() == "alpha 3");
  const Tensor same = fake({2});
  CHECK_THROWS_WITH(trace(net, std::vector<Tensor>{same, same}, std::nullopt, 3),
                    Contains("example 1 is the same tensor as 'input_1'"));
}

TEST_CASE("trace: a module known by its base only", "[trace]") {
  const std::unique_ptr<nn::ModuleBase> net =
      std::make_unique<nn::Linear>(nn::LinearOptions{.in = 3, .out = 2});
  const Graph graph = trace(*net, fake({4, 3}));
  CHECK(graph.steps.size() == 1);
  CHECK(graph.values[graph.outputs[0]].spec.shape == Shape{4, 2});
}

TEST_CASE("trace: changes in place are noticed", "[trace]") {
  struct Row {
    std::string text;
    Lambda::Forward body;
  };
  const Tensor counter = zeros({3});
  for (const Row& row : std::vector<Row>{
           {"'relu_1' was changed in place by add_",
            [](Lambda&, const Tensor&x) {
              const Tensor h = relu(x);
              return h.add_(ones({3})) * 2;
            }},
           {"'mul_1' was changed in place by mul_",
            [](Lambda&, const Tensor&x) {
              const Tensor h = x * x;
              h.slice(0, 0, 1).mul_(2);
              return h;
            }},
           {"'input' was changed in place by fill_",
            [](Lambda&, const Tensor&x) { return relu(x) + x.zero_(); }},
           {"'running' was changed in place by add_",
            [](Lambda&self, const Tensor&x) {
              self.running.add_(ones({3}));
              return relu(x);
            }},
           {"'constant_1' was changed in place by add_",
            [counter](Lambda&, const Tensor&x) {
              Tensor y = x + counter;
              counter.add_(ones({3}));
              return y;
            }},
       }) {
    CAPTURE(row.text);
    Lambda net(row.body);
    CHECK_THROWS_WITH(trace(net, fake({2, 3})), Contains(row.text));
  }

  nn::BatchNorm1d norm(3);
  CHECK_THROWS_WITH(trace(norm, randn({4, 3})), Contains("'running_mean' was changed in place"));
  CHECK_NOTHROW(trace(norm, fake({4, 3})));
}

TEST_CASE("trace: filling a new tensor before its first use is no change", "[trace]") {
  Lambda net([](Lambda&, const Tensor& x) { return x + zeros({3}).fill_(5); });
  const Graph graph = trace(net, fake({2, 3}));
  CHECK(value_of(graph, "constant_1").tensor.to_vector() == std::vector<double>{5, 5, 5});
}

TEST_CASE("trace: fakes without an origin and looks at elements throw", "[trace]") {
  Lambda state([](Lambda&, const Tensor& x) { return x + zeros_like(x); });
  CHECK_THROWS_WITH(
      trace(state, fake({2})),
      Contains("no recorded operation made operand 1 of add, fake f32[2]" + on_test_device()));
  nn::Sequential net;
  net.append<nn::ReLU>();
  net.append<Lambda>([](Lambda&, const Tensor& x) { return x.sum().item() > 0 ? x : -x; });
  CHECK_THROWS_WITH(trace(net, fake({2})), Contains("1: item: fake f32[]" + on_test_device()));
}

TEST_CASE("trace: leaves nothing behind, even when forward throws", "[trace]") {
  bool fails = true;
  nn::Sequential net;
  net.append<Lambda>([&fails](Lambda& self, const Tensor& x) {
    if (fails) throw std::runtime_error("no");
    return matmul(x, self.weight);
  });
  CHECK_THROWS_WITH(trace(net, fake({2, 3})), "no");
  CHECK(grad_enabled());
  fails = false;
  CHECK(net(randn({2, 3})).requires_grad());
  const Graph graph = trace(net, fake({2, 3}));
  REQUIRE(graph.steps.size() == 1);
  CHECK(graph.steps[0].module == "0");
  net(randn({2, 3}));
  CHECK(graph.steps.size() == 1);
}

TEST_CASE("trace: real examples work too", "[trace]") {
  nn::Linear net({.in = 3, .out = 2});
  const Tensor x = randn({4, 3});
  const Graph graph = trace(net, x);
  CHECK(value_of(graph, "input").kind == Kind::input);
  CHECK_FALSE(value_of(graph, "input").tensor.defined());
  const Tensor other = randn({4, 3});
  CHECK(equal_bits(replay(graph, {other})[0], net(other)));
}

TEST_CASE("replay: reads the parameters as they are then, and records nothing", "[trace]") {
  nn::Linear net({.in = 3, .out = 2});
  const Graph graph = trace(net, fake({4, 3}));
  {
    const NoGradGuard no_grad;
    net.weight.fill_(2);
  }
  const Tensor x = randn({4, 3});
  const Tensor y = replay(graph, {x})[0];
  CHECK(equal_bits(y, net(x)));
  CHECK_FALSE(y.requires_grad());
  CHECK(replay(graph, {fake({4, 3})})[0].is_fake());
}

TEST_CASE("replay: takes only what the graph was traced with", "[trace]") {
  nn::Sequential net;
  net.append<nn::Linear>(nn::LinearOptions{.in = 3, .out = 2});
  const Graph graph = trace(net, fake({4, 3}));
  const std::string on = on_test_device();
  struct Row {
    std::string text;
    Tensors inputs;
  };
  for (const Row& row : std::vector<Row>{
           {"replay: the graph has 1 inputs, not 0", {}},
           {"replay: 'input' is undefined", {Tensor()}},
           {"traced with 'input' f32[4, 3]" + on + ", not f32[5, 3]" + on, {ones({5, 3})}},
           {"f32[4, 3]" + on + ", not f64[4, 3]" + on, {ones({4, 3}, {.dtype = f64})}},
           {"f32[4, 3]" + on + ", not f32[4, 3] strides [1, 4]" + on, {ones({3, 4}).t()}},
       }) {
    CAPTURE(row.text);
    CHECK_THROWS_WITH(replay(graph, row.inputs), Contains(row.text));
  }
  net.to(f64);
  CHECK_THROWS_WITH(replay(graph, {ones({4, 3})}),
                    Contains("traced with '0.weight' f32[2, 3]" + on + ", not f64[2, 3]"));
}

TEST_CASE("graph: lists strides, constants, missing operands and further results", "[trace]") {
  Lambda net([](Lambda&, const Tensor& x) {
    const Tensors range = apply_op(std::make_shared<Range>(), {x, Tensor(), ones({1})});
    return x.t() * range[1];
  });
  const Graph graph = trace(net, fake({2, 3}));
  CHECK("\n" + graph.to_string() == R"(
1 input, 1 output, 3 steps, 0 parameters, 32 bytes of results
input                                        -> input       f32[2, 3]
constant                                     -> constant_1  f32[1]
range     input, -, constant_1  of all       -> range_1     f32[]
                                             -> range_1.1   f32[]
permute   input                 dims [1, 0]  -> permute_1   f32[3, 2] strides [1, 3] view
mul       permute_1, range_1.1               -> mul_1       f32[3, 2] strides [1, 3]
output    mul_1
)");
  const Tensor x = tensor({1, 2, 3, 4, 5, 6}, {2, 3});
  CHECK(replay(graph, {x})[0].to_vector() == std::vector<double>{7, 28, 14, 35, 21, 42});
}
