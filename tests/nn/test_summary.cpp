#include "minidl/core/ops/elementwise.h"
#include "minidl/nn/modules/conv.h"
#include "minidl/nn/modules/linear.h"
#include "minidl/nn/summary.h"
#include "tests/catch.h"

using namespace minidl;

namespace {

struct Block : nn::Module<Block> {
  Block(nn::ModuleBase& parent, std::string_view name) { parent.register_module(name, *this); }
  nn::Conv2d conv{*this, "conv", {.in = 3, .out = 4, .kernel = 3, .padding = 1}};
  Tensor forward(const Tensor& x) { return relu(conv(x)); }
};

struct Net : nn::Module<Net> {
  Block block{*this, "block"};
  nn::Linear fc{*this, "fc", {.in = 4, .out = 5}};
  nn::Linear unused{*this, "unused", {.in = 1, .out = 1, .bias = false}};
  Tensor forward(const Tensor& x) { return fc(block(x).mean({2, 3})); }
};

}  // namespace

TEST_CASE("summary: shapes, parameters and FLOPs of every module", "[summary]") {
  Net net;
  net.fc.requires_grad_(false);
  const std::int64_t allocations = memory_stats().allocations;
  const nn::Summary summary = nn::summary(net, {2, 3, 8, 6});
  CHECK(memory_stats().allocations == allocations);
  REQUIRE(summary.rows.size() == 5);
  const double conv = 2.0 * (2 * 4 * 8 * 6) * (3 * 3 * 3), fc = 2.0 * (2 * 5) * 4;
  struct Expected {
    const char *path, *type;
    std::vector<Shape> outputs;
    std::int64_t parameters;
    double flops;
  };
  const Expected expected[] = {
      {"", "Net", {{2, 5}}, 0, conv + fc},
      {"block", "Block", {{2, 4, 8, 6}}, 0, conv},
      {"block.conv", "Conv2d", {{2, 4, 8, 6}}, 4 * 27 + 4, conv},
      {"fc", "Linear", {{2, 5}}, 25, fc},
      {"unused", "Linear", {}, 1, 0},
  };
  for (std::size_t i = 0; i < summary.rows.size(); ++i) {
    const nn::SummaryRow& row = summary.rows[i];
    INFO(expected[i].path);
    CHECK(row.path == expected[i].path);
    CHECK(row.type == expected[i].type);
    CHECK(row.outputs == expected[i].outputs);
    CHECK(row.parameters == expected[i].parameters);
    CHECK(row.flops == expected[i].flops);
  }
  CHECK(summary.parameters == net.parameter_count());
  CHECK(summary.trainable_parameters == net.parameter_count() - 25);
  CHECK(summary.parameter_bytes == 4 * net.parameter_count());
  CHECK(summary.flops == conv + fc);
  CHECK_THAT(summary.to_string(), Contains("block.conv") && Contains("not called") &&
                                      Contains("138 parameters, 113 of them trained"));
}

TEST_CASE("summary: its hooks go with it", "[summary]") {
  Net net;
  nn::summary(net, {1, 3, 4, 4});
  CHECK_THROWS_AS(nn::summary(net, {1, 2, 4, 4}), Error);
  const nn::Summary again = nn::summary(net, [&] { net(fake({1, 3, 4, 4})); });
  CHECK(again.rows.front().calls == 1);
}

TEST_CASE("apply: children before their parents", "[module]") {
  Net net;
  std::vector<std::string> names;
  net.apply([&](nn::ModuleBase& module) { names.push_back(module.name()); });
  CHECK(names == std::vector<std::string>{"conv", "block", "fc", "unused", ""});
}
