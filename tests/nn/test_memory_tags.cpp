// The contract of memory tags (kernels/common/allocator.h): every byte is counted under what it is
// for, and each part of the library tags its own: modules parameters and buffers, autograd
// gradients, optimizers their state, kernels their workspace. All else is activation.

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "minidl/core/ops/elementwise.h"
#include "minidl/core/tensor.h"
#include "minidl/nn/modules/batch_norm.h"
#include "minidl/nn/modules/linear.h"
#include "minidl/nn/optim/adam.h"
#include "tests/catch.h"

using namespace minidl;

namespace {

// Bytes by tag: param, grad, optimizer, activation, workspace.
using Bytes = std::array<std::int64_t, kMemoryTags>;

Bytes bytes_in_use() {
  Bytes bytes;
  for (std::size_t i = 0; i < kMemoryTags; ++i)
    bytes[i] = memory_stats(default_device()).by_tag[i].current;
  return bytes;
}

Bytes operator-(Bytes a, const Bytes& b) {
  for (std::size_t i = 0; i < kMemoryTags; ++i) a[i] -= b[i];
  return a;
}

}  // namespace

TEST_CASE("memory tags: who sets which, step by step through a training step", "[contract]") {
  constexpr std::int64_t kIn = 30;
  constexpr std::int64_t kOut = 20;
  constexpr std::int64_t kRows = 10;
  constexpr std::int64_t kModel = (kOut * kIn + kOut) * 4;  // weight and bias
  constexpr std::int64_t kResult = kRows * kOut * 4;

  std::unique_ptr<nn::Linear> fc;
  std::unique_ptr<nn::BatchNorm1d> bn;
  std::unique_ptr<optim::AdamW> adamw;
  const Tensor x = rand({kRows, kIn});
  Tensor y;
  struct Row {
    std::string what;
    std::function<void()> run;
    Bytes added;
  };
  const std::vector<Row> rows{
      {"a module's parameters",
       [&] { fc = std::make_unique<nn::Linear>(nn::LinearOptions{.in = kIn, .out = kOut}); },
       {kModel, 0, 0, 0, 0}},
      {"parameters, statistics and a counter of i64",
       [&] { bn = std::make_unique<nn::BatchNorm1d>(kOut); },
       {4 * kOut * 4 + 8, 0, 0, 0, 0}},
      {"the result of an operation", [&] { y = (*fc)(x); }, {0, 0, 0, kResult, 0}},
      {"gradients of leaves", [&] { y.backward(y.detach()); }, {0, kModel, 0, 0, 0}},
      {"an optimizer before its first step",
       [&] { adamw = std::make_unique<optim::AdamW>(fc->parameters(), optim::AdamWOptions{}); },
       {0, 0, 0, 0, 0}},
      {"two moments of each parameter", [&] { adamw->step(); }, {0, 0, 2 * kModel, 0, 0}},
      {"zero_grad keeps the memory", [&] { adamw->zero_grad(); }, {0, 0, 0, 0, 0}},
      {"a copy of a parameter is no parameter",
       [&] { y = fc->weight.detach().clone(); },
       {0, 0, 0, kOut * kIn * 4 - kResult, 0}},
      {"a conversion keeps the tag, and drops the gradients",
       [&] { fc->to(f64); },
       {kModel, -kModel, 0, 0, 0}},
  };
  for (const Row& row : rows) {
    INFO(row.what);
    const Bytes before = bytes_in_use();
    row.run();
    CHECK(bytes_in_use() - before == row.added);
  }
}

TEST_CASE("memory tags: kernels count their scratch memory and give it back", "[contract]") {
  const Tensor x = rand({300'000});
  const Bytes before = bytes_in_use();
  allocator(default_device()).reset_peaks();
  const Tensor sum = x.sum();  // of the sums of parts
  CHECK(memory_stats(default_device())[MemoryTag::workspace].peak > before[4]);
  CHECK(bytes_in_use() - before == Bytes{0, 0, 0, 4, 0});
}

TEST_CASE("memory tags: peaks are those of each tag, and of the sum", "[contract]") {
  Allocator& memory = allocator(default_device());
  memory.reset_peaks();
  const MemoryStats start = memory.stats();
  { const Tensor one = zeros({1000}); }
  {
    const Tensor two = zeros({500});
    two.set_memory_tag(MemoryTag::optimizer);
  }
  const MemoryStats stats = memory.stats();
  CHECK(stats[MemoryTag::activation].peak - start[MemoryTag::activation].current == 4000);
  CHECK(stats[MemoryTag::optimizer].peak - start[MemoryTag::optimizer].current == 2000);
  CHECK(stats.total.peak - start.total.current == 4000);  // they never were there together
  CHECK(stats.total.current == start.total.current);
}
