// Fake tensors: what they are, that they cost nothing, and who refuses them. That every operation
// takes them is checked with the op table.

#include <functional>
#include <string>
#include <vector>

#include "minidl/core/communicator.h"
#include "minidl/core/grad_mode.h"
#include "minidl/core/op.h"
#include "minidl/core/ops/dropout.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/core/random.h"
#include "minidl/core/serialization/safetensors.h"
#include "tests/catch.h"
#include "tests/device.h"
#include "tests/folder.h"

using namespace minidl;
using test::on_test_device;

TEST_CASE("fake: has a geometry and no memory", "[fake]") {
  const MemoryStats before = memory_stats(default_device());
  const Tensor x = fake({1'000'000, 1'000'000}, {.dtype = f64});
  CHECK(x.is_fake());
  CHECK(x.shape() == Shape{1'000'000, 1'000'000});
  CHECK(x.is_contiguous());
  CHECK(x.dtype() == f64);
  CHECK(x.device() == default_device());
  CHECK(describe(x) == "fake f64[1000000, 1000000]" + on_test_device());
  CHECK(fake_strided({2, 3}, {1, 2}).strides() == Strides{1, 2});
  CHECK(memory_stats(default_device()).allocations == before.allocations);
  CHECK(memory_stats(default_device()).total.peak == before.total.peak);
  CHECK_FALSE(ones({1}).is_fake());
}

TEST_CASE("fake: what is computed from one is fake", "[fake]") {
  const Tensor real = ones({3, 4});
  const Tensor x = fake({2, 3});
  const Tensor y = matmul(x, real);
  CHECK(y.is_fake());
  CHECK(y.shape() == Shape{2, 4});
  CHECK((ones({2, 3}) + x).is_fake());
  CHECK(x.detach().is_fake());
  CHECK(empty_like(x).is_fake());
  CHECK(zeros_like(x).is_fake());
  CHECK(x.to(f64).dtype() == f64);
  CHECK_THROWS_WITH(matmul(x, x), Contains("matmul: the inner extents of [2, 3] and [2, 3]"));
}

TEST_CASE("fake: views share their storage as those of real tensors do", "[fake]") {
  const Tensor x = fake({4, 6});
  const Tensor view = x.slice(0, 1, 3).t();
  CHECK(view.is_fake());
  CHECK(view.storage() == x.storage());
  CHECK(view.shape() == Shape{6, 2});
  CHECK(view.strides() == Strides{1, 6});
  CHECK(view.storage_offset() == 6);
}

TEST_CASE("fake: may be on a device that is not here", "[fake]") {
  const Device gpu{DeviceType::cuda, 3};
  const Tensor x = fake({2, 3}, {.device = gpu});
  CHECK((x + x).device() == gpu);
  const Tensor moved = fake({2, 3}).t().to(gpu);
  CHECK(moved.is_fake());
  CHECK(moved.device() == gpu);
  CHECK(moved.strides() == Strides{1, 3});
  CHECK_THROWS_WITH(fake({3}) + x, Contains("operands are" + on_test_device() + " and on cuda:3"));
}

TEST_CASE("fake: is recorded by autograd, without a backward", "[fake]") {
  const Tensor weight = ones({3}, {.requires_grad = true});
  const Tensor loss = (fake({2, 3}) * weight).sum();
  CHECK(loss.requires_grad());
  CHECK_THROWS_WITH(loss.backward(), Contains("backward: a fake tensor has no elements"));
  CHECK_THROWS_WITH(weight.sum().backward(fake({})), Contains("the gradient is a fake tensor"));
  CHECK_THROWS_WITH(weight.set_grad(fake({3})), Contains("set_grad") && Contains("fake f32[3]"));
  CHECK_FALSE(weight.grad().defined());
}

TEST_CASE("fake: changes in place count and do nothing else", "[fake]") {
  const Tensor x = fake({2, 3});
  const std::uint64_t version = x.storage().version();
  const Generator::State random = default_generator().state();
  x.zero_().fill_(2).mul_(3).add_(ones({3})).copy_(fake({3})).uniform_().normal_();
  CHECK(x.storage().version() == version + 7);
  CHECK(default_generator().state() == random);
}

TEST_CASE("fake: dropout draws nothing", "[fake]") {
  const Generator::State random = default_generator().state();
  CHECK(dropout(fake({2, 3}), 0.5).is_fake());
  CHECK(default_generator().state() == random);
}

TEST_CASE("fake: whatever needs elements says whose it misses", "[fake]") {
  const test::Folder folder;
  SingleProcess self;
  const Tensor x = fake({1});
  const Tensor real = ones({1});
  const std::string what = "fake f32[1]" + on_test_device();
  struct Row {
    std::string text;
    std::function<void()> call;
  };
  for (const Row& row : std::vector<Row>{
           {"item: " + what + " has no elements", [&] { x.item(); }},
           {"to_vector: " + what + " has no elements", [&] { x.to_vector(); }},
           {"data: " + what + " has no elements", [&] { x.data<float>(); }},
           {"data: " + what + " has no elements", [&] { x.view(); }},
           {"copy_: a tensor with elements cannot", [&] { real.copy_(x); }},
           {"add_: a tensor with elements cannot", [&] { real.add_(x); }},
           {"no memory to materialize", [&] { x.storage().materialize(); }},
           {"all_reduce: " + what + " has no elements", [&] { self.all_reduce(x); }},
           {"broadcast: " + what + " has no elements", [&] { self.broadcast(x, 0); }},
           {"'weight' has no elements: " + what,
            [&] {
              save_safetensors(folder / "fake.safetensors", {{"weight", x}});
            }},
       }) {
    CAPTURE(row.text);
    CHECK_THROWS_WITH(row.call(), Contains(row.text));
  }
  CHECK(real.item() == 1);
}

TEST_CASE("fake: attributes of the ops, in PyTorch's words", "[fake][attributes]") {
  struct Recorder final : OpObserver {
    void on_op(const std::shared_ptr<const Op>& op, const Tensors&, const Tensors&) override {
      texts.push_back(op->attributes().empty() ? op->name()
                                               : std::string(op->name()) + " " + op->attributes());
    }
    std::vector<std::string> texts;
  };
  Recorder recorder;
  const Tensor x = fake({2, 3});
  mul(x, x);
  affine(x, 2, 0) + 1;
  pow(x, -0.5);
  x.mean({-1});
  x.amax();
  x.argmax(1);
  x.to(f64);
  x.to(Device{DeviceType::cuda, 3});
  x.t();
  x.slice(1, 0, 3, 2);
  dropout(x, 0.25);
  CHECK(recorder.texts ==
        std::vector<std::string>{"mul", "affine alpha 2", "affine beta 1", "pow exponent -0.5",
                                 "mean dim [-1], keepdim true", "reshape", "amax keepdim true",
                                 "reshape", "argmax dim 1, keepdim true", "reshape", "to dtype f64",
                                 "to device cuda:3", "permute dims [1, 0]",
                                 "slice dim 1, start 0, end 3, step 2", "dropout p 0.25"});
}
