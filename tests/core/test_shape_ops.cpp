// Views: which share their storage, which copy, what they refuse.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "minidl/core/op.h"
#include "minidl/core/ops/shape.h"
#include "tests/catch.h"

using namespace minidl;
using Values = std::vector<double>;

namespace {

Tensor counted(const Shape& shape) {
  return arange(numel(shape), {.dtype = f64}).reshape(shape);
}

bool shares(const Tensor& a, const Tensor& b) {
  return a.storage() == b.storage();
}

}  // namespace

TEST_CASE("shape: views share storage and give the right elements", "[shape]") {
  const Tensor x = counted({2, 3});
  struct Row {
    std::string label;
    Tensor view;
    Shape shape;
    Values values;
  };
  const std::vector<Row> rows{
      {"reshape", x.reshape({3, 2}), {3, 2}, {0, 1, 2, 3, 4, 5}},
      {"reshape -1", x.reshape({-1}), {6}, {0, 1, 2, 3, 4, 5}},
      {"flatten", x.flatten(), {6}, {0, 1, 2, 3, 4, 5}},
      {"permute", x.permute({1, 0}), {3, 2}, {0, 3, 1, 4, 2, 5}},
      {"permute from the end", x.permute({-1, -2}), {3, 2}, {0, 3, 1, 4, 2, 5}},
      {"transpose", x.transpose(0, -1), {3, 2}, {0, 3, 1, 4, 2, 5}},
      {"t", x.t(), {3, 2}, {0, 3, 1, 4, 2, 5}},
      {"expand", x.unsqueeze(0).expand({2, 2, 3}), {2, 2, 3}, {0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5}},
      {"unsqueeze end", x.unsqueeze(-1), {2, 3, 1}, {0, 1, 2, 3, 4, 5}},
      {"unsqueeze middle", x.unsqueeze(1), {2, 1, 3}, {0, 1, 2, 3, 4, 5}},
      {"squeeze", x.unsqueeze(1).squeeze(1), {2, 3}, {0, 1, 2, 3, 4, 5}},
      {"squeeze of more than one", x.squeeze(0), {2, 3}, {0, 1, 2, 3, 4, 5}},
      {"slice", x.slice(1, 1, 3), {2, 2}, {1, 2, 4, 5}},
      {"slice with a step", x.slice(-1, 0, 3, 2), {2, 2}, {0, 2, 3, 5}},
      {"select", x.select(0, 1), {3}, {3, 4, 5}},
      {"select column", x.select(1, -1), {2}, {2, 5}},
      {"detach", x.detach(), {2, 3}, {0, 1, 2, 3, 4, 5}},
  };
  for (const Row& row : rows) {
    INFO(row.label);
    CHECK(row.view.shape() == row.shape);
    CHECK(row.view.to_vector() == row.values);
    CHECK(shares(row.view, x));
  }
}

TEST_CASE("shape: reshape copies only where no strides would do", "[shape]") {
  const Tensor x = counted({2, 3, 4});
  struct Row {
    std::string label;
    Tensor from;
    Shape to;
    bool view;
  };
  const std::vector<Row> rows{
      {"join dense", x, {6, 4}, true},
      {"split dense", x, {2, 3, 2, 2}, true},
      {"split and join", x, {3, 8}, true},
      {"ones anywhere", x, {1, 2, 1, 12, 1}, true},
      {"split of a transposed dimension", x.transpose(0, 2), {2, 2, 3, 2}, true},
      {"join of transposed dimensions", x.transpose(0, 2), {12, 2}, false},
      {"inner join of an outer slice", x.slice(0, 0, 1), {1, 12}, true},
      {"join across a slice", x.slice(1, 0, 2), {4, 4}, false},
      {"join within a slice", x.slice(1, 0, 2), {2, 8}, true},
      {"join of every other", x.slice(2, 0, 4, 2), {12}, true},
      {"join of stretched", x.select(0, 0).unsqueeze(0).expand({2, 3, 4}), {6, 4}, false},
      {"join within stretched", x.select(0, 0).unsqueeze(0).expand({2, 3, 4}), {2, 12}, true},
  };
  for (const Row& row : rows) {
    INFO(row.label);
    const Tensor result = row.from.reshape(row.to);
    CHECK(result.shape() == row.to);
    CHECK(result.to_vector() == row.from.to_vector());
    CHECK(shares(result, row.from) == row.view);
  }
}

TEST_CASE("shape: reshape of empty tensors and scalars", "[shape]") {
  CHECK(zeros({0, 3}).reshape({5, 0}).shape() == Shape{5, 0});
  CHECK(zeros({0, 3}).reshape({-1, 3}).shape() == Shape{0, 3});
  CHECK(scalar(2).reshape({1, 1}).item() == 2);
  CHECK(ones({1, 1}).reshape({}).dim() == 0);
  CHECK(scalar(2).flatten().shape() == Shape{1});
}

TEST_CASE("shape: flatten of an NHWC tensor is logical", "[shape]") {
  const Tensor nchw = counted({2, 3, 2, 2});
  const Tensor nhwc = nchw.channels_last();
  CHECK(nhwc.flatten(1).shape() == Shape{2, 12});
  CHECK(nhwc.flatten(1).to_vector() == nchw.flatten(1).to_vector());
  CHECK(nhwc.flatten(2).shape() == Shape{2, 3, 4});
  CHECK(nhwc.flatten(2).to_vector() == nchw.to_vector());
  CHECK(shares(nhwc.flatten(2), nhwc));
  CHECK(nchw.flatten(0, 1).shape() == Shape{6, 2, 2});
  CHECK(nchw.flatten(-3, -2).shape() == Shape{2, 6, 2});
}

TEST_CASE("shape: slice follows Python's rules", "[shape]") {
  struct Row {
    std::int64_t start, end, step;
    Values values;
  };
  const Tensor x = counted({5});
  for (const Row& row :
       {Row{0, 5, 1, {0, 1, 2, 3, 4}}, Row{-2, 5, 1, {3, 4}}, Row{-100, 100, 1, {0, 1, 2, 3, 4}},
        Row{1, -1, 1, {1, 2, 3}}, Row{3, 2, 1, {}}, Row{5, 9, 1, {}}, Row{0, 5, 2, {0, 2, 4}},
        Row{1, 5, 3, {1, 4}}, Row{0, 5, 100, {0}}, Row{1, 5, INT64_MAX, {1}},
        Row{0, INT64_MAX, 1, {0, 1, 2, 3, 4}}, Row{INT64_MIN, 2, 1, {0, 1}}}) {
    CAPTURE(row.start, row.end, row.step);
    CHECK(x.slice(0, row.start, row.end, row.step).to_vector() == row.values);
  }
}

TEST_CASE("shape: cat joins, promotes and keeps a dense layout", "[shape]") {
  const Tensor a = counted({2, 2});
  const Tensor b = counted({2, 1});
  CHECK(cat({a, b}, 1).to_vector() == Values{0, 1, 0, 2, 3, 1});
  CHECK(cat({a, b}, -1).shape() == Shape{2, 3});
  CHECK(cat({a, zeros({0, 2})}).to_vector() == a.to_vector());
  CHECK(cat({a.to(f32), a.to(i64)}).dtype() == f32);
  CHECK(cat({a.t(), a.t()}).to_vector() == Values{0, 2, 1, 3, 0, 2, 1, 3});
  const Tensor image = counted({1, 2, 2, 2}).channels_last();
  CHECK(cat({image, image}, 1).is_channels_last());
  CHECK_FALSE(shares(cat({a}), a));
}

TEST_CASE("shape: cat takes more operands than a mask of saved ones has bits", "[shape]") {
  Tensors parts;
  for (int i = 0; i < 70; ++i) parts.push_back(scalar(i, {.requires_grad = true}).reshape({1}));
  const Tensor joined = cat(parts);
  CHECK(joined.numel() == 70);
  CHECK_NOTHROW(joined.sum().backward());
}

TEST_CASE("shape: gradients flow through views into the right elements", "[shape]") {
  const Tensor x = counted({2, 3}).detach().set_requires_grad();
  struct Row {
    std::string label;
    std::function<Tensor()> view;
    Values gradient;
  };
  const std::vector<Row> rows{
      {"slice", [&] { return x.slice(1, 0, 3, 2); }, {1, 0, 1, 1, 0, 1}},
      {"select", [&] { return x.select(0, -1); }, {0, 0, 0, 1, 1, 1}},
      {"expand",
       [&] {
         return x.unsqueeze(0).expand({4, 2, 3});
       },
       {4, 4, 4, 4, 4, 4}},
      {"empty slice", [&] { return x.slice(0, 1, 1); }, {0, 0, 0, 0, 0, 0}},
      {"cat with itself",
       [&] {
         return cat({x, x}, 1);
       },
       {2, 2, 2, 2, 2, 2}},
      {"transposed copy", [&] { return x.t().reshape({6}).slice(0, 1, 3); }, {0, 1, 0, 1, 0, 0}},
  };
  for (const Row& row : rows) {
    INFO(row.label);
    x.zero_grad();
    row.view().sum().backward();
    CHECK(x.grad().to_vector() == row.gradient);
  }
}

TEST_CASE("shape: misuse is refused with the shapes", "[shape]") {
  const Tensor x = counted({2, 3});
  struct Row {
    std::function<void()> run;
    std::string text;
  };
  const std::vector<Row> rows{
      {[&] { x.reshape({4}); }, "reshape: 6 elements of [2, 3] do not fit [4]"},
      {[&] {
         x.reshape({-1, 4});
       },
       "do not fit [-1, 4]"},
      {[&] {
         x.reshape({-1, -1});
       },
       "more than one"},
      {[&] {
         x.reshape({-2, -3});
       },
       "negative extent"},
      {[&] {
         zeros({0}).reshape({-1, 0});
       },
       "do not fit [-1, 0]"},
      {[&] { x.permute({0}); }, "permute"},
      {[&] {
         x.permute({0, 0});
       },
       "names dimension 0 twice"},
      {[&] {
         x.permute({0, 2});
       },
       "dimension 2 is out of range"},
      {[&] { x.transpose(0, 2); }, "transpose: dimension 2"},
      {[&] { counted({2}).t(); }, "t: a matrix is needed"},
      {[&] {
         x.expand({3, 3});
       },
       "expand: shapes [2, 3] and [3, 3]"},
      {[&] { x.expand({3}); }, "expand: [2, 3] does not stretch to [3]"},
      {[&] {
         x.expand({1, 3});
       },
       "does not stretch"},
      {[&] { x.squeeze(2); }, "squeeze: dimension 2"},
      {[&] { x.unsqueeze(4); }, "unsqueeze: dimension 4"},
      {[&] { x.slice(2, 0, 1); }, "slice: dimension 2"},
      {[&] { x.slice(0, 0, 1, 0); }, "step must be positive"},
      {[&] { x.slice(0, 0, 1, -1); }, "step must be positive"},
      {[&] { x.select(1, 3); }, "select: index 3 is out of range for dimension 1 of shape [2, 3]"},
      {[&] { x.select(1, -4); }, "index -4"},
      {[&] { scalar(1).select(0, 0); }, "0-D"},
      {[&] { x.flatten(1, 0); }, "flatten"},
      {[&] { x.channels_last(); }, "4-D"},
      {[&] { cat({}); }, "no tensors"},
      {[&] {
         cat({x, counted({2, 2})});
       },
       "cat: [2, 3] and [2, 2] differ outside dimension 0"},
      {[&] {
         cat({x, counted({3})});
       },
       "differ outside"},
      {[&] {
         cat({scalar(1), scalar(2)});
       },
       "0-D"},
      {[&] { cat({x}, 2); }, "cat: dimension 2"},
      {[&] {
         zeros({1, 1, 1, 1, 1, 1, 1, 1}).unsqueeze(0);
       },
       "at most 8"},
  };
  for (const Row& row : rows) {
    INFO(row.text);
    CHECK_THROWS_WITH(row.run(), Contains(row.text));
  }
}
