// The contract of layouts. A layout is the strides, nothing else: shapes are NCHW whatever the
// memory looks like, and every operation takes any strides. What comes out:
//   elementwise      in the layout of the first operand that has the full shape and is dense (its
//                    elements fill a block without gaps, in whatever order), else row-major
//   convolution      NHWC; pooling, batch norm, reductions and cat in the layout of a dense input
//   views            whatever shows the same elements; reshape and flatten copy only if they must
//   gradients        in the layout of their leaf
//   files            row-major
// Dimensions of size 1 never decide. Dtypes: tests/core/test_dtype_contract.cpp.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "minidl/core/ops/batch_norm.h"
#include "minidl/core/ops/comparison.h"
#include "minidl/core/ops/conv.h"
#include "minidl/core/ops/dropout.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/core/ops/pool.h"
#include "minidl/core/ops/shape.h"
#include "minidl/core/ops/softmax.h"
#include "minidl/core/serialization/safetensors.h"
#include "minidl/core/tensor.h"
#include "tests/catch.h"
#include "tests/folder.h"

using namespace minidl;

namespace {

using Unary = std::function<Tensor(const Tensor&)>;
using Binary = std::function<Tensor(const Tensor&, const Tensor&)>;
template <class F>
struct Named {
  std::string name;
  F run;
};

Tensor nchw(const Shape& shape) {
  return rand(shape) + 1.0;
}
Tensor nhwc(const Shape& shape) {
  return nchw(shape).channels_last();
}

// What a user means by a layout: the strides of the dimensions that have more than one element.
Strides layout_of(const Shape& shape, const Strides& strides) {
  Strides layout = strides;
  for (int i = 0; i < shape.size(); ++i) {
    if (shape[i] == 1) layout[i] = 0;
  }
  return layout;
}

void check_layout(const Tensor& actual, const Shape& shape, const Strides& strides) {
  CHECK(actual.shape() == shape);
  CHECK(layout_of(actual.shape(), actual.strides()) == layout_of(shape, strides));
}

struct Row {
  std::string label;
  Tensor actual;
  Shape shape;
  Strides strides;
};

void check_rows(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    INFO(row.label);
    check_layout(row.actual, row.shape, row.strides);
  }
}

const Shape kImages{2, 3, 4, 5};
const Strides kNchw{60, 20, 5, 1};
const Strides kNhwc{60, 1, 15, 3};

// One operand of shape kImages for each way it may lie in memory, and what an elementwise operation
// on it alone gives.
struct Operand {
  std::string name;
  Tensor tensor;
  bool dense;
  Strides result;
};

std::vector<Operand> operands() {
  return {
      {"NCHW", nchw(kImages), true, kNchw},
      {"NHWC", nhwc(kImages), true, kNhwc},
      {"dense in another order", nchw({5, 2, 4, 3}).permute({1, 3, 2, 0}), true, {12, 1, 3, 24}},
      {"with gaps", nhwc({2, 6, 4, 5}).slice(1, 0, 6, 2), false, kNchw},
      {"stretched", nchw({1, 3, 4, 5}).expand(kImages), false, kNchw},
  };
}

}  // namespace

TEST_CASE("layout: functions of one operand keep a dense layout", "[contract]") {
  const std::vector<Named<Unary>> functions{
      {"neg", neg},
      {"abs", minidl::abs},
      {"exp", minidl::exp},
      {"log", minidl::log},
      {"sqrt", minidl::sqrt},
      {"relu", relu},
      {"sigmoid", sigmoid},
      {"tanh", minidl::tanh},
      {"pow", [](const Tensor& x) { return pow(x, 1.5); }},
      {"x + number", [](const Tensor& x) { return x + 2.0; }},
      {"number / x", [](const Tensor& x) { return 2.0 / x; }},
      {"dropout", [](const Tensor& x) { return dropout(x, 0.5); }},
      {"softmax", [](const Tensor& x) { return softmax(x, 1); }},
      {"log_softmax", [](const Tensor& x) { return log_softmax(x, 1); }},
      {"batch_norm", [](const Tensor& x) { return batch_norm_training(x, {}, {}, 1e-5).y; }},
  };
  for (const auto& [function, run] : functions) {
    for (const Operand& operand : operands()) {
      INFO(function << " of " << operand.name);
      check_layout(run(operand.tensor), kImages, operand.result);
    }
  }
}

TEST_CASE("layout: of two operands the first dense one of full shape decides", "[contract]") {
  const std::vector<Named<Binary>> functions{
      {"add", add},
      {"sub", sub},
      {"mul", mul},
      {"div", minidl::div},
      {"maximum", maximum},
      {"minimum", minimum},
      {"remainder", [](const Tensor& a, const Tensor& b) { return a % b; }},
      {"lt", [](const Tensor& a, const Tensor& b) { return (a < b).to(f32); }},
      {"where", [](const Tensor& a, const Tensor& b) {
         return where(zeros({1}, {.dtype = boolean}), a, b);
       }}};
  for (const auto& [function, run] : functions) {
    for (const Operand& a : operands()) {
      for (const Operand& b : operands()) {
        INFO(function << " of " << a.name << " and " << b.name);
        const Strides expected = a.dense ? a.result : b.dense ? b.result : kNchw;
        check_layout(run(a.tensor, b.tensor), kImages, expected);
      }
      // Operands that are broadcast have no say, on either side.
      for (const Shape& shape : {Shape{3, 1, 1}, Shape{1, 3, 1, 1}, Shape{}, Shape{5}, Shape{4, 5},
                                 Shape{1, 3, 4, 5}, Shape{2, 3, 1, 1}}) {
        INFO(function << " of " << a.name << " and " << to_string(shape));
        check_layout(run(a.tensor, nchw(shape)), kImages, a.result);
        check_layout(run(nchw(shape), a.tensor), kImages, a.result);
      }
    }
  }
  check_layout(nhwc({2, 1, 4, 5}) * nhwc({1, 3, 1, 1}), kImages, kNchw);  // none has full shape
}

TEST_CASE("layout: dimensions of size 1 never decide", "[contract]") {
  // A tensor of these shapes is row-major and NHWC at once, whatever the strides of its ones say.
  for (const Shape& shape : {Shape{2, 1, 4, 5}, Shape{2, 3, 1, 1}, Shape{1, 1, 4, 5},
                             Shape{1, 3, 1, 1}, Shape{1, 1, 1, 1}}) {
    INFO(to_string(shape));
    for (const Strides& strides : {contiguous_strides(shape), channels_last_strides(shape)}) {
      const Tensor x = empty_strided(shape, strides).copy_(nchw(shape));
      CHECK(x.is_contiguous());
      CHECK(x.is_channels_last());
      CHECK(x.contiguous().is_same(x));
      CHECK(x.channels_last().is_same(x));
      check_layout(relu(x) + x * 2, shape, contiguous_strides(shape));
      CHECK(x.reshape({numel(shape)}).storage() == x.storage());
    }
  }

  // Where a 1 becomes more, the strides that it had do not tell either. The first two rows are one
  // image each, in memory as HWC and as CHW; then images of one channel.
  const Tensor hwc = nhwc({1, 3, 4, 5}).select(0, 0);
  const Tensor chw = nchw({3, 4, 5});
  std::vector<Row> rows{
      {"cat of HWC", cat({hwc.unsqueeze(0), hwc.unsqueeze(0)}), kImages, kNhwc},
      {"cat of CHW", cat({chw.unsqueeze(0), chw.unsqueeze(0)}), kImages, kNchw},
      {"the longer part decides", cat({nchw({2, 1, 4, 5}), nhwc({2, 2, 4, 5})}, 1), kImages, kNhwc},
      {"one without elements does not", cat({nchw({2, 0, 4, 5}), nhwc(kImages)}, 1), kImages,
       kNhwc},
  };
  for (const Strides& strides :
       {contiguous_strides({2, 1, 4, 5}), channels_last_strides({2, 1, 4, 5})}) {
    const Tensor x = empty_strided({2, 1, 4, 5}, strides).copy_(nchw({2, 1, 4, 5}));
    rows.push_back({"cat of one channel", cat({x, x, x}, 1), kImages, kNchw});
  }
  for (const Strides& strides :
       {contiguous_strides({2, 3, 1, 1}), channels_last_strides({2, 3, 1, 1})}) {
    const Tensor x = empty_strided({2, 3, 1, 1}, strides).copy_(nchw({2, 3, 1, 1}));
    rows.push_back({"pooled up", adaptive_avg_pool2d(x, {4, 5}), kImages, kNchw});
  }
  check_rows(rows);
}

TEST_CASE("layout: convolution gives NHWC, the rest of a network keeps it", "[contract]") {
  const Tensor weight = nchw({6, 3, 3, 3});
  const Tensor ohwi = weight.channels_last();
  const Conv2dParams same{.padding = {1, 1}};
  std::vector<Row> rows;
  for (const Operand& operand : operands()) {
    for (const Tensor& w : {weight, ohwi}) {
      rows.push_back({"conv2d of " + operand.name,
                      conv2d(operand.tensor, w, {}, same),
                      {2, 6, 4, 5},
                      {120, 1, 30, 6}});
    }
  }
  const Tensor x = nhwc(kImages);
  const Tensor y = nchw(kImages);
  const Pool2dOptions window{.kernel = {2, 2}};
  const Shape pooled{2, 3, 2, 2};
  const Strides pooled_nhwc{12, 1, 6, 3};
  const Strides pooled_nchw{12, 4, 2, 1};
  rows.insert(
      rows.end(),
      {
          {"max_pool2d", max_pool2d(x, window), pooled, pooled_nhwc},
          {"avg_pool2d", avg_pool2d(x, window), pooled, pooled_nhwc},
          {"adaptive_max_pool2d", adaptive_max_pool2d(x, {2, 2}), pooled, pooled_nhwc},
          {"adaptive_avg_pool2d", adaptive_avg_pool2d(x, {2, 2}), pooled, pooled_nhwc},
          {"pooling of NCHW", max_pool2d(y, window), pooled, pooled_nchw},
          {"pooling with gaps", max_pool2d(nhwc({2, 6, 4, 5}).slice(1, 0, 3), window), pooled,
           pooled_nchw},
          {"a mean over pixels", x.mean({2, 3}, true), {2, 3, 1, 1}, {3, 1, 1, 1}},
          {"a sum over the batch", x.sum({0}), {3, 4, 5}, {1, 15, 3}},
          {"a maximum over channels", x.amax({1}), {2, 4, 5}, {20, 5, 1}},
          {"cat along channels", cat({x, x}, 1), {2, 6, 4, 5}, {120, 1, 30, 6}},
          {"cat of NHWC and NCHW", cat({x, y}), {4, 3, 4, 5}, kNhwc},
          {"a conversion", x.to(f64), kImages, kNhwc},
          {"a clone", x.clone(), kImages, kNhwc},
          {"zeros_like", zeros_like(x), kImages, kNhwc},
          {"contiguous", x.contiguous(), kImages, kNchw},
          {"channels_last", y.channels_last(), kImages, kNhwc},
          {"copy_ keeps the target's", zeros(kImages).copy_(x), kImages, kNchw},
          {"matmul is row-major", matmul(nchw({3, 2}).t(), nchw({4, 3}).t()), {2, 4}, {4, 1}},
      });
  check_rows(rows);
}

TEST_CASE("layout: reshape and flatten go by the logical order, without a copy where it can be",
          "[contract]") {
  struct View {
    std::string label;
    Tensor from;
    Tensor to;
    bool shares;
  };
  const Tensor x = nhwc(kImages);
  const Tensor y = nchw(kImages);
  const std::vector<View> views{
      {"NCHW", y, y.flatten(1), true},
      {"NHWC: pixels lie one after the other", x, x.flatten(2), true},
      {"NHWC: channels do not", x, x.flatten(1), false},
      {"NHWC of one pixel", nhwc({2, 3, 1, 1}), {}, true},
      {"NHWC of one channel", nhwc({2, 1, 4, 5}), {}, true},
      {"one image with gaps between rows", y.slice(3, 0, 4), {}, false},
      {"transposed", y.transpose(2, 3), {}, false},
      {"of a batch, some", x.slice(0, 1, 2), x.slice(0, 1, 2).flatten(2), true},
  };
  for (const View& view : views) {
    INFO(view.label);
    const Tensor to = view.to.defined() ? view.to : view.from.flatten(1);
    CHECK((to.storage() == view.from.storage()) == view.shares);
    CHECK(to.to_vector() == view.from.to_vector());
    if (!view.shares) CHECK(to.is_contiguous());
  }
}

TEST_CASE("layout: gradients take that of their leaf", "[contract]") {
  const auto leaf_like = [](const Tensor& x) { return x.detach().set_requires_grad(); };
  const Tensor ohwi = leaf_like(nhwc({6, 3, 3, 3}));
  const Tensor oihw = leaf_like(nchw({6, 3, 3, 3}));
  const Tensor images = leaf_like(nchw(kImages));
  const Tensor transposed = leaf_like(nchw({3, 2}).t());
  const Tensor gaps = leaf_like(nchw({2, 6}).slice(1, 0, 6, 2));
  conv2d(images, ohwi).sum().backward();
  conv2d(nhwc(kImages), oihw).sum().backward();
  matmul(transposed, nchw({3, 4})).sum().backward();
  (gaps * 2).sum().backward();
  check_rows({{"OHWI", ohwi.grad(), {6, 3, 3, 3}, {27, 1, 9, 3}},
              {"OIHW", oihw.grad(), {6, 3, 3, 3}, {27, 9, 3, 1}},
              {"images", images.grad(), kImages, kNchw},
              {"transposed", transposed.grad(), {2, 3}, {1, 2}},
              {"with gaps, which the gradient has not", gaps.grad(), {2, 3}, {3, 1}}});
  // Adding to them later does not change that.
  conv2d(nhwc(kImages), oihw).sum().backward();
  check_layout(oihw.grad(), {6, 3, 3, 3}, {27, 9, 3, 1});
}

TEST_CASE("layout: files hold row-major elements", "[contract]") {
  const minidl::test::Folder folder;
  const Tensor x = nhwc(kImages);
  save_safetensors(folder / "t", {{"x", x}});
  const Tensor loaded = load_safetensors(folder / "t").tensors.at(0).tensor;
  check_layout(loaded, kImages, kNchw);
  CHECK(loaded.to_vector() == x.to_vector());
}

TEST_CASE("layout: of nothing there is any", "[contract]") {
  // Shapes come out right; strides of tensors without elements mean nothing.
  const Tensor none = zeros({0, 3, 4, 5});
  CHECK(none.is_contiguous());
  CHECK(none.is_channels_last());
  CHECK(relu(none.channels_last()).shape() == none.shape());
  CHECK((none * zeros({3, 1, 1})).shape() == none.shape());
  CHECK(none.flatten(1).shape() == Shape{0, 60});
  CHECK(max_pool2d(none, {.kernel = {2, 2}}).shape() == Shape{0, 3, 2, 2});
  CHECK(conv2d(none, zeros({6, 3, 3, 3})).shape() == Shape{0, 6, 2, 3});
  CHECK(none.sum({0}).shape() == Shape{3, 4, 5});
  CHECK(none.sum({0}).to_vector() == std::vector<double>(60, 0));
  const Tensor leaf = zeros({0, 3}, {.requires_grad = true});
  (leaf * 2).sum().backward();
  CHECK(leaf.grad().shape() == Shape{0, 3});
}
