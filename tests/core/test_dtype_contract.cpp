// The contract of dtypes. Operations on two tensors compute in the dtype that both promote to, as
// in PyTorch: floating point beats integers, bool yields to everything, the wider of a kind wins. A
// number beside a tensor does not change a floating-point dtype; integers become f32 where the
// result is not whole. Changes in place keep the target's dtype. Products and layers convert
// nothing: their operands must agree, and the error says how to make them.

#include <functional>
#include <string>
#include <vector>

#include "minidl/core/ops/batch_norm.h"
#include "minidl/core/ops/comparison.h"
#include "minidl/core/ops/conv.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/core/ops/shape.h"
#include "minidl/core/ops/softmax.h"
#include "minidl/core/tensor.h"
#include "tests/catch.h"

using namespace minidl;
using Values = std::vector<double>;

namespace {

constexpr DType kAll[] = {boolean, u8, i8, i32, i64, f16, bf16, f32, f64};

// What each row promotes to with each column, in the order of kAll. Without i16, u8 and i8 meet in
// i32.
constexpr DType kPromoted[9][9] = {
    {boolean, u8, i8, i32, i64, f16, bf16, f32, f64},  // bool
    {u8, u8, i32, i32, i64, f16, bf16, f32, f64},      // u8
    {i8, i32, i8, i32, i64, f16, bf16, f32, f64},      // i8
    {i32, i32, i32, i32, i64, f16, bf16, f32, f64},    // i32
    {i64, i64, i64, i64, i64, f16, bf16, f32, f64},    // i64
    {f16, f16, f16, f16, f16, f16, f32, f32, f64},     // f16
    {bf16, bf16, bf16, bf16, bf16, f32, bf16, f32, f64},
    {f32, f32, f32, f32, f32, f32, f32, f32, f64},
    {f64, f64, f64, f64, f64, f64, f64, f64, f64},
};

Tensor twos(DType dtype) {
  return full({2}, 2, {.dtype = dtype});
}

}  // namespace

TEST_CASE("dtype: the table of promotion", "[contract]") {
  for (std::size_t i = 0; i < 9; ++i) {
    for (std::size_t j = 0; j < 9; ++j) {
      INFO(name(kAll[i]) << " with " << name(kAll[j]));
      CHECK(std::string(name(promote(kAll[i], kAll[j]))) == name(kPromoted[i][j]));
    }
  }
}

TEST_CASE("dtype: two tensors meet in the promoted one", "[contract]") {
  // Of the dtypes that the CPU computes in, one operand may have any.
  for (const DType a : {i32, i64, f32, f64}) {
    for (const DType b : kAll) {
      const DType expected = promote(a, b);
      if (expected == f16 || expected == bf16) continue;
      INFO(name(a) << " with " << name(b));
      const double two = b == boolean ? 1 : 2;
      const Tensor sum = twos(a) + twos(b);
      CHECK(sum.dtype() == expected);
      CHECK(sum.to_vector() == Values{2 + two, 2 + two});
      CHECK((twos(b) * twos(a)).dtype() == expected);
      CHECK(maximum(twos(a), twos(b)).dtype() == expected);
      CHECK(eq(twos(a), twos(b)).dtype() == boolean);
      CHECK(cat({twos(a), twos(b)}).dtype() == expected);
    }
  }
}

TEST_CASE("dtype: what comes out of the other operations", "[contract]") {
  struct Row {
    std::string label;
    Tensor actual;
    DType dtype;
  };
  const std::vector<Row> rows{
      {"a number beside f32", twos(f32) * 0.1, f32},
      {"a number beside f64", 1 - twos(f64), f64},
      {"a whole number beside i64", twos(i64) * 3 + 1, i64},
      {"a fraction beside i64", twos(i64) * 0.5, f32},
      {"division of integers by a number", twos(i32) / 2, f32},
      {"division of integers", twos(i32) / twos(i64), f32},
      {"division of f64 by integers", twos(f64) / twos(i64), f64},
      {"division rounded down", floor_divide(twos(i32), twos(i64)), i64},
      {"a remainder", twos(i32) % twos(i32), i32},
      {"a remainder of a fraction", twos(i64) % 0.5, f32},
      {"a choice", where(twos(boolean), twos(i64), twos(f32)), f32},
      {"a choice of a fraction", where(twos(boolean), twos(i64), 0.5), f32},
      {"a comparison with a number", twos(i64) < 0.5, boolean},
      {"a logical and", logical_and(twos(f32), twos(i64)), boolean},
      {"a limit that is whole", clamp(twos(i64), 1, 3), i64},
      {"a limit that is not", clamp(twos(i64), 1.5), f32},
      {"bits", twos(u8) & twos(u8), u8},
      {"a sum of integers", twos(i32).sum(), i32},
      {"a count", (twos(i32) == 2).sum(), i64},
      {"a maximum of integers", twos(i64).amax(), i64},
      {"a mean", twos(f64).mean(), f64},
      {"an index", twos(f32).argmax(0), i64},
      {"matmul", matmul(ones({2, 2}, {.dtype = f64}), ones({2, 2}, {.dtype = f64})), f64},
      {"arange", arange(3), i64},
      {"in place, f32 += f64", twos(f32).add_(twos(f64)), f32},
      {"in place, i32 += i64", twos(i32).add_(twos(i64)), i32},
      {"in place, i32 = f64", twos(i32).copy_(twos(f64)), i32},
  };
  for (const Row& row : rows) {
    INFO(row.label);
    CHECK(std::string(name(row.actual.dtype())) == name(row.dtype));
  }
}

TEST_CASE("dtype: gradients come back in that of the operand", "[contract]") {
  const Tensor narrow = ones({2}, {.requires_grad = true});
  const Tensor wide = ones({2}, {.dtype = f64, .requires_grad = true});
  (narrow * wide).sum().backward();
  CHECK(narrow.grad().dtype() == f32);
  CHECK(wide.grad().dtype() == f64);
  const Tensor stored = ones({2}, {.dtype = bf16, .requires_grad = true});
  (stored.to(f32) * 3).sum().backward();
  CHECK(stored.grad().dtype() == bf16);
  CHECK(stored.grad().to_vector() == Values{3, 3});
}

TEST_CASE("dtype: what is refused, and what to do", "[contract]") {
  const Tensor a = ones({2, 2});
  const Tensor wide = ones({2, 2}, {.dtype = f64});
  const Tensor whole = ones({2, 2}, {.dtype = i64});
  const Tensor images = ones({1, 2, 4, 4});
  struct Row {
    std::function<void()> run;
    std::vector<std::string> texts;
  };
  const std::vector<Row> rows{
      {[&] { matmul(a, wide); }, {"matmul", "f32", "f64", ".to(dtype)"}},
      {[&] { linear(a, wide); }, {"linear", "f32", "f64", ".to(dtype)"}},
      {[&] {
         conv2d(images, ones({2, 2, 1, 1}, {.dtype = f64}));
       },
       {"conv2d", ".to(dtype)"}},
      {[&] {
         batch_norm_training(images, ones({2}, {.dtype = f64}), ones({2}, {.dtype = f64}), 0);
       },
       {"batch_norm", "f32", "f64"}},
      {[&] { exp(whole); }, {"exp", "i64", ".to(dtype)"}},
      {[&] { whole.mean(); }, {"mean", "i64", ".to(dtype)"}},
      {[&] { softmax(whole, 0); }, {"softmax", "i64", ".to(dtype)"}},
      {[&] { matmul(whole, whole); }, {"matmul", "i64"}},
      {[&] { cross_entropy(a, ones({2})); }, {"cross_entropy", "i64", "f32"}},
      {[&] { whole.add_(whole, 0.5); }, {"add_", "i64", "0.5"}},
      {[&] { ones({1}, {.dtype = i32}).set_requires_grad(); }, {"i32", "no gradient"}},
  };
  for (const Row& row : rows) {
    for (const std::string& text : row.texts) CHECK_THROWS_WITH(row.run(), Contains(text));
  }
}
