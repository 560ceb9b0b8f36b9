// Factories, geometry, reading elements, borrowed memory.

#include <cstdint>
#include <string>
#include <vector>

#include "minidl/core/ops/elementwise.h"
#include "minidl/core/tensor.h"
#include "tests/catch.h"
#include "tests/device.h"

using namespace minidl;
using test::on_test_device;
using Values = std::vector<double>;

namespace {

constexpr DType kAllDtypes[] = {f32, f16, bf16, f64, i8, u8, i32, i64, boolean};

}  // namespace

TEST_CASE("tensor: factories fill every dtype", "[tensor]") {
  for (const DType dtype : kAllDtypes) {
    CAPTURE(name(dtype));
    const TensorOptions options{.dtype = dtype};
    CHECK(zeros({2, 2}, options).to_vector() == Values(4, 0));
    CHECK(ones({3}, options).to_vector() == Values(3, 1));
    CHECK(scalar(1, options).item() == 1);
    CHECK(tensor({1, 0, 1}, {3, 1}, options).to_vector() == Values{1, 0, 1});
    CHECK(ones({}, options).dtype() == dtype);
    CHECK(zeros_like(ones({2}, options)).to_vector() == Values{0, 0});
  }
}

TEST_CASE("tensor: arange counts, in i64 unless told otherwise", "[tensor]") {
  CHECK(arange(4).to_vector() == Values{0, 1, 2, 3});
  CHECK(arange(4).dtype() == i64);
  CHECK(arange(3, {.dtype = f32}).dtype() == f32);
  CHECK(arange(0).numel() == 0);
}

TEST_CASE("tensor: full and tensor convert with saturation", "[tensor]") {
  CHECK(full({2}, -2.5).to_vector() == Values{-2.5, -2.5});
  CHECK(tensor({300, -1, 2.9}, {3}, {.dtype = u8}).to_vector() == Values{255, 0, 2});
}

TEST_CASE("tensor: geometry of scalars, empty and ordinary tensors", "[tensor]") {
  struct Row {
    Shape shape;
    std::int64_t numel;
    Strides strides;
  };
  for (const Row& row : {Row{{}, 1, {}}, Row{{0}, 0, {1}}, Row{{3, 0, 2}, 0, {2, 2, 1}},
                         Row{{2, 3, 4}, 24, {12, 4, 1}}}) {
    CAPTURE(to_string(row.shape));
    const Tensor t = zeros(row.shape);
    CHECK(t.shape() == row.shape);
    CHECK(t.dim() == row.shape.size());
    CHECK(t.numel() == row.numel);
    CHECK(t.strides() == row.strides);
    CHECK(t.is_contiguous());
    CHECK(t.storage_offset() == 0);
    CHECK(t.device() == default_device());
    CHECK(static_cast<std::int64_t>(t.to_vector().size()) == row.numel);
  }
}

TEST_CASE("tensor: size counts from the end", "[tensor]") {
  const Tensor t = zeros({2, 3});
  CHECK(t.size(0) == 2);
  CHECK(t.size(-1) == 3);
  CHECK_THROWS_WITH(t.size(2), Contains("size") && Contains("dimension 2"));
  CHECK_THROWS_WITH(t.size(-3), Contains("dimension -3"));
}

TEST_CASE("tensor: empty_strided and empty_like keep a layout", "[tensor]") {
  const Tensor column_major = empty_strided({2, 3}, {1, 2});
  CHECK(column_major.strides() == Strides{1, 2});
  CHECK_FALSE(column_major.is_contiguous());
  CHECK(empty_like(column_major).strides() == Strides{1, 2});
  CHECK(zeros_like(column_major).strides() == Strides{1, 2});
  CHECK(empty_strided({2, 3}, {8, 2}).storage().bytes() == (8 + 4 + 1) * sizeof(float));
}

TEST_CASE("tensor: empty_like of a stretched tensor is dense", "[tensor]") {
  const Tensor stretched = ones({1, 3}).expand({4, 3});
  CHECK(empty_like(stretched).storage().bytes() == 12 * sizeof(float));
}

TEST_CASE("tensor: channels last is a matter of strides", "[tensor]") {
  const Tensor image = arange(24, {.dtype = f32}).reshape({1, 2, 3, 4});
  const Tensor nhwc = image.channels_last();
  CHECK(nhwc.is_channels_last());
  CHECK(nhwc.strides() == Strides{24, 1, 8, 2});
  CHECK(nhwc.to_vector() == image.to_vector());
  CHECK(nhwc.channels_last().is_same(nhwc));
  CHECK(nhwc.contiguous().strides() == image.strides());
  CHECK(nhwc.clone().is_channels_last());
  CHECK(nhwc.to(f64).is_channels_last());
  CHECK(image.contiguous().is_same(image));
}

TEST_CASE("tensor: data points at the elements and guards their type", "[tensor]") {
  const Tensor on_host = tensor({1, 2, 3}, {3}, {.device = cpu});
  on_host.data<float>()[1] = 7;
  CHECK(on_host.to_vector() == Values{1, 7, 3});
  const Tensor t = ones({3});
  CHECK(t.slice(0, 1, 3).data<float>() == t.data<float>() + 1);
  CHECK_THROWS_WITH(t.data<double>(), Contains("f32") && Contains("f64"));
  CHECK(zeros({0}).data<float>() == nullptr);
}

TEST_CASE("tensor: new memory is aligned to 64 bytes", "[tensor]") {
  for (const std::int64_t count : {1, 3, 1000, 100000}) {
    CHECK(reinterpret_cast<std::uintptr_t>(empty({count}).raw_data()) % 64 == 0);
  }
}

TEST_CASE("tensor: item reads one element of any shape", "[tensor]") {
  CHECK(scalar(2.5).item() == 2.5);
  CHECK(tensor({3}, {1, 1}, {.dtype = i8}).item() == 3);
  CHECK_THROWS_WITH(zeros({2}).item(), Contains("item") && Contains("[2]"));
  CHECK_THROWS_WITH(zeros({0}).item(), Contains("0 elements"));
}

TEST_CASE("tensor: to_vector is row-major whatever the strides", "[tensor]") {
  CHECK(tensor({1, 2, 3, 4}, {2, 2}).t().to_vector() == Values{1, 3, 2, 4});
  CHECK(tensor({1, 2}, {2, 1}).expand({2, 2}).to_vector() == Values{1, 1, 2, 2});
}

TEST_CASE("tensor: handles share the tensor, clones do not", "[tensor]") {
  const Tensor a = zeros({2});
  const Tensor b = a;
  CHECK(a.is_same(b));
  CHECK_FALSE(a.is_same(a.detach()));
  const Tensor copy = a.clone();
  b.fill_(1);
  CHECK(a.to_vector() == Values{1, 1});
  CHECK(copy.to_vector() == Values{0, 0});
}

TEST_CASE("tensor: conversion to its own dtype or device is the tensor itself", "[tensor]") {
  const Tensor t = ones({2});
  CHECK(t.to(f32).is_same(t));
  CHECK(t.to(default_device()).is_same(t));
}

TEST_CASE("tensor: conversions round, truncate and saturate", "[tensor]") {
  const Tensor t = tensor({-1.7, 0, 300.2}, {3}, {.dtype = f64});
  CHECK(t.to(i32).to_vector() == Values{-1, 0, 300});
  CHECK(t.to(u8).to_vector() == Values{0, 0, 255});
  CHECK(t.to(boolean).to_vector() == Values{1, 0, 1});
  CHECK(t.to(bf16).to_vector()[2] == 300);
}

TEST_CASE("tensor: from_blob looks at foreign memory", "[tensor]") {
  std::vector<double> memory{0, 1, 2, 3, 4, 5};
  const Tensor rows = from_blob(memory.data(), {2, 3}, {.dtype = f64});
  CHECK(rows.to_vector() == memory);
  rows.select(0, 1).fill_(9);
  CHECK(memory == Values{0, 1, 2, 9, 9, 9});
}

TEST_CASE("tensor: from_blob has the dtype of what the pointer points to", "[tensor]") {
  std::vector<std::int64_t> whole{1, 2, 3};
  CHECK(from_blob(whole.data(), {3}).dtype() == i64);
  CHECK(from_blob(whole.data(), {3}).to_vector() == Values{1, 2, 3});
  CHECK_THROWS_WITH(from_blob(whole.data(), {3}, {.dtype = f32}),
                    Contains("f32") && Contains("i64"));
  alignas(float) std::uint8_t bytes[8] = {};
  CHECK(from_blob(bytes, {8}).dtype() == u8);
  CHECK(from_blob(bytes, {2}, {.dtype = f32}).to_vector() == Values{0, 0});
  CHECK(from_blob(static_cast<void*>(bytes), {2}).dtype() == f32);
}

TEST_CASE("tensor: from_blob takes strides", "[tensor]") {
  std::vector<double> memory{0, 1, 2, 3, 4, 5};
  const Tensor columns = from_blob(memory.data(), {3, 2}, {.dtype = f64}, {1, 3});
  CHECK(columns.to_vector() == Values{0, 3, 1, 4, 2, 5});
  CHECK(from_blob(memory.data(), {3}, {.dtype = f64}, {2}).to_vector() == Values{0, 2, 4});
  CHECK(from_blob(memory.data(), {2, 2}, {.dtype = f64}, {0, 1}).to_vector() == Values{0, 1, 0, 1});
}

TEST_CASE("tensor: from_blob calls the deleter once, after the last view", "[tensor]") {
  float memory[4] = {};
  void* deleted = nullptr;
  int calls = 0;
  Tensor view;
  {
    const Tensor t = from_blob(memory, {4}, {}, {}, [&](void* data) {
      deleted = data;
      ++calls;
    });
    view = t.slice(0, 1, 2);
  }
  CHECK(calls == 0);
  view = {};
  CHECK(calls == 1);
  CHECK(deleted == memory);
}

TEST_CASE("tensor: from_blob of nothing", "[tensor]") {
  CHECK(from_blob(nullptr, {0, 3}).numel() == 0);
  CHECK_THROWS_WITH(from_blob(nullptr, {1}), Contains("null") && Contains("[1]"));
}

TEST_CASE("tensor: factories refuse impossible geometry", "[tensor]") {
  const std::int64_t huge = std::int64_t{1} << 32;
  float memory[4] = {};
  CHECK_THROWS_WITH(zeros({2, -1}), Contains("[2, -1]") && Contains("negative"));
  CHECK_THROWS_WITH(arange(-1), Contains("[-1]"));
  CHECK_THROWS_WITH(tensor({1, 2}, {3}), Contains("2 values") && Contains("[3]"));
  CHECK_THROWS_WITH(empty_strided({2}, {1, 1}), Contains("rank"));
  CHECK_THROWS_WITH(empty_strided({2}, {-1}), Contains("negative"));
  CHECK_THROWS_WITH(from_blob(memory, {2}, {}, {1, 1}), Contains("rank"));
  CHECK_THROWS_WITH(from_blob(memory, {2}, {}, {-1}), Contains("negative"));
  CHECK_THROWS_WITH(from_blob(memory, {-2}), Contains("negative"));
  CHECK_THROWS_WITH(zeros({huge, huge}), Contains("too large"));
  CHECK_THROWS_WITH(zeros({0, huge, huge}), Contains("too large"));
  CHECK_THROWS_WITH(zeros({1, 1, 1, 1, 1, 1, 1, 1, 1}), Contains("at most 8"));
}

TEST_CASE("tensor: only floating point can require a gradient", "[tensor]") {
  CHECK(zeros({1}, {.requires_grad = true}).requires_grad());
  CHECK(tensor({1}, {1}, {.requires_grad = true}).is_leaf());
  CHECK_THROWS_WITH(zeros({1}, {.dtype = i64, .requires_grad = true}), Contains("i64"));
  CHECK_THROWS_WITH(zeros({1}, {.dtype = boolean}).set_requires_grad(), Contains("bool"));
  CHECK_FALSE(ones({1}).set_requires_grad().set_requires_grad(false).requires_grad());
}

TEST_CASE("tensor: an undefined tensor says so", "[tensor]") {
  const Tensor none;
  CHECK_FALSE(none.defined());
  CHECK(describe(none) == "undefined");
  CHECK_THROWS_WITH(none.shape(), Contains("undefined"));
  CHECK_THROWS_WITH(none.item(), Contains("undefined"));
  CHECK_THROWS_WITH(none.detach(), Contains("undefined"));
}

TEST_CASE("tensor: describe names dtype, shape and device", "[tensor]") {
  CHECK(describe(zeros({2, 3})) == "f32[2, 3]" + on_test_device());
  CHECK(describe(scalar(1, {.dtype = i64})) == "i64[]" + on_test_device());
}

TEST_CASE("tensor: in-place operations change every view and count it", "[tensor]") {
  const Tensor base = zeros({4});
  const Tensor middle = base.slice(0, 1, 3);
  const std::uint64_t before = base.storage().version();
  middle.fill_(1).add_(ones({1}), 2).mul_(3);
  CHECK(base.to_vector() == Values{0, 9, 9, 0});
  CHECK(base.storage().version() == before + 3);
  CHECK(std::string(base.storage().last_change()) == "mul_");
  base.zero_();
  CHECK(middle.to_vector() == Values{0, 0});
}

TEST_CASE("tensor: copy_ stretches and converts", "[tensor]") {
  const Tensor target = zeros({2, 3}, {.dtype = f64});
  target.copy_(tensor({1, 2, 3}, {3}, {.dtype = i32}));
  CHECK(target.to_vector() == Values{1, 2, 3, 1, 2, 3});
  CHECK_THROWS_WITH(zeros({3}).copy_(zeros({2, 3})), Contains("copy_") && Contains("[2, 3]"));
  CHECK_THROWS_WITH(zeros({3}).add_(zeros({2})), Contains("add_") && Contains("[2]"));
}

TEST_CASE("tensor: in-place operations may read the memory they write", "[tensor]") {
  const Tensor square = tensor({1, 2, 3, 4}, {2, 2});
  square.copy_(square.t());
  CHECK(square.to_vector() == Values{1, 3, 2, 4});
  const Tensor row = arange(4, {.dtype = f64});
  row.slice(0, 1, 4).add_(row.slice(0, 0, 3));
  CHECK(row.to_vector() == Values{0, 1, 3, 5});
  row.add_(row);
  CHECK(row.to_vector() == Values{0, 2, 6, 10});
}

TEST_CASE("tensor: stretched tensors are not changed in place", "[tensor]") {
  const Tensor stretched = ones({3}).expand({2, 3});
  CHECK_THROWS_WITH(stretched.add_(ones({3})), Contains("add_") && Contains("[2, 3]"));
  CHECK_THROWS_WITH(stretched.zero_(), Contains("share their memory"));
  CHECK_NOTHROW(ones({3}).expand({1, 3}).zero_());
}

TEST_CASE("tensor: set_data moves all handles and drops a gradient that no longer fits",
          "[tensor]") {
  const Tensor t = tensor({1, 2}, {2}, {.requires_grad = true});
  const Tensor handle = t;
  t.set_grad(ones({2}));
  t.set_data(tensor({5, 6}, {2}));
  CHECK(handle.to_vector() == Values{5, 6});
  CHECK(t.grad().defined());
  t.set_data(tensor({7}, {1}, {.dtype = f64}));
  CHECK(handle.dtype() == f64);
  CHECK(handle.shape() == Shape{1});
  CHECK_FALSE(t.grad().defined());
  CHECK(t.requires_grad());
  CHECK_THROWS_WITH(t.reshape({1, 1}).set_data(t), Contains("leaves"));
}

TEST_CASE("tensor: integers with a number that is not whole become f32", "[tensor]") {
  const Tensor x = tensor({3, 5}, {2}, {.dtype = i64});
  const Tensor results[] = {x * 0.5, x / 2, x + 0.5, 15 / x, x - 0.5};
  const std::vector<double> expected[] = {{1.5, 2.5}, {1.5, 2.5}, {3.5, 5.5}, {5, 3}, {2.5, 4.5}};
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(results[i].dtype() == f32);
    CHECK(results[i].to_vector() == expected[i]);
  }
  CHECK((x * 2).dtype() == i64);
  CHECK((x * 2 + 1).to_vector() == std::vector<double>{7, 11});
}
