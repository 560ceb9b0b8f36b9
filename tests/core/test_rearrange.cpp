// Joining, cutting, repeating and moving elements: which results are views, edge cases, every
// dtype, misuse. The op table has the values and the gradients.

#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "minidl/core/factories.h"
#include "minidl/core/ops/elementwise.h"
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

std::vector<Shape> shapes_of(const Tensors& tensors) {
  std::vector<Shape> shapes;
  for (const Tensor& tensor : tensors) shapes.push_back(tensor.shape());
  return shapes;
}

}  // namespace

TEST_CASE("rearrange: views share storage and give the right elements", "[shape]") {
  const Tensor x = counted({2, 3});
  struct Row {
    std::string label;
    Tensor view;
    Shape shape;
    Values values;
  };
  const std::vector<Row> rows{
      {"reshape_as", x.reshape_as(zeros({3, 2})), {3, 2}, {0, 1, 2, 3, 4, 5}},
      {"unflatten", x.unflatten(-1, {3, 1}), {2, 3, 1}, {0, 1, 2, 3, 4, 5}},
      {"unflatten open", counted({6}).unflatten(0, {-1, 2}), {3, 2}, {0, 1, 2, 3, 4, 5}},
      {"movedim", counted({1, 2, 3}).movedim(0, -1), {2, 3, 1}, {0, 1, 2, 3, 4, 5}},
      {"movedim list", counted({2, 1, 3}).movedim({0, 2}, {1, 0}), {3, 2, 1}, {0, 3, 1, 4, 2, 5}},
      {"expand -1", x.expand({2, -1, -1}), {2, 2, 3}, {0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5}},
      {"expand_as", counted({1}).expand_as(zeros({2})), {2}, {0, 0}},
      {"broadcast_to", broadcast_to(counted({2, 1}), {2, 2}), {2, 2}, {0, 0, 1, 1}},
      {"squeeze", counted({1, 2, 1, 3, 1}).squeeze(), {2, 3}, {0, 1, 2, 3, 4, 5}},
      {"squeeze of nothing", x.squeeze(), {2, 3}, {0, 1, 2, 3, 4, 5}},
      {"narrow", x.narrow(1, 1, 2), {2, 2}, {1, 2, 4, 5}},
      {"narrow from the end", x.narrow(-1, -1, 1), {2, 1}, {2, 5}},
      {"narrow to nothing", x.narrow(0, 2, 0), {0, 3}, {}},
      {"diagonal", x.diagonal(), {2}, {0, 4}},
      {"diagonal above", x.diagonal(1), {2}, {1, 5}},
      {"diagonal below", x.diagonal(-1), {1}, {3}},
      {"diagonal of nothing", x.diagonal(INT64_MIN), {0}, {}},
      {"atleast_1d", atleast_1d(scalar(3)), {1}, {3}},
      {"atleast_2d", atleast_2d(counted({2})), {1, 2}, {0, 1}},
      {"atleast_3d of a vector", atleast_3d(counted({2})), {1, 2, 1}, {0, 1}},
      {"atleast_3d of a matrix", atleast_3d(x), {2, 3, 1}, {0, 1, 2, 3, 4, 5}},
  };
  for (const Row& row : rows) {
    INFO(row.label);
    CHECK(row.view.shape() == row.shape);
    CHECK(row.view.to_vector() == row.values);
  }
  for (const Tensor& view :
       {x.unflatten(0, {2, 1}), x.movedim(0, 1), x.expand_as(zeros({4, 2, 3})), x.squeeze(),
        x.narrow(0, 0, 1), x.diagonal(), x.split(1)[1], x.chunk(2, 1)[1], x.unbind(1)[2],
        broadcast_tensors({x, zeros({4, 1, 1})})[0]}) {
    CHECK(shares(view, x));
  }
  CHECK(shares(meshgrid({x.flatten(), counted({2})})[0], x));
}

TEST_CASE("rearrange: split, chunk and unbind cut as PyTorch does", "[shape]") {
  const Tensor x = counted({5, 2});
  CHECK(shapes_of(x.split(2)) == std::vector<Shape>{{2, 2}, {2, 2}, {1, 2}});
  CHECK(shapes_of(split(x, {1, 4})) == std::vector<Shape>{{1, 2}, {4, 2}});
  CHECK(shapes_of(split(x, {5})) == std::vector<Shape>{{5, 2}});
  CHECK(shapes_of(x.split(1, -1)) == std::vector<Shape>{{5, 1}, {5, 1}});
  CHECK(shapes_of(x.split(9)) == std::vector<Shape>{{5, 2}});
  CHECK(shapes_of(zeros({0}).split(3)) == std::vector<Shape>{{0}});
  CHECK(shapes_of(chunk(x, 3)) == std::vector<Shape>{{2, 2}, {2, 2}, {1, 2}});
  CHECK(shapes_of(x.chunk(4)) == std::vector<Shape>{{2, 2}, {2, 2}, {1, 2}});
  CHECK(shapes_of(zeros({0, 2}).chunk(3)) == std::vector<Shape>{{0, 2}, {0, 2}, {0, 2}});
  CHECK(shapes_of(unbind(x, 1)) == std::vector<Shape>{{5}, {5}});
  CHECK(x.unbind(1)[1].to_vector() == Values{1, 3, 5, 7, 9});
  CHECK(zeros({0, 2}).unbind().empty());
}

TEST_CASE("rearrange: many parts give one gradient", "[shape]") {
  const Tensor x = counted({70}).clone().set_requires_grad();
  const Tensors parts = x.unbind();
  (parts[69] + parts[3] * 2).backward();
  CHECK(x.grad()[69].item() == 1);
  CHECK(x.grad()[3].item() == 2);
  CHECK(x.grad().sum().item() == 3);
}

TEST_CASE("rearrange: elements of every dtype move", "[shape]") {
  for (const DType dtype : {f32, f16, bf16, f64, i8, u8, i32, i64, boolean}) {
    CAPTURE(name(dtype));
    const Tensor x = tensor({{1, 0}, {1, 1}}, {.dtype = dtype});
    for (const Tensor& result :
         {x.flip({1}), x.roll({1}, {0}), x.repeat({1, 2}), x.tril(), x.triu(1), stack({x, x}),
          pad(x, {1, 0}, PadMode::constant, 1), x.repeat_interleave(2)}) {
      CHECK(result.dtype() == dtype);
    }
    CHECK(x.flip({1}).to_vector() == Values{0, 1, 1, 1});
    CHECK(x.tril().to_vector() == Values{1, 0, 1, 1});
    CHECK(x.triu().to_vector() == Values{1, 0, 0, 1});
    CHECK(pad(x[0], {1, 1}, PadMode::constant, 1).to_vector() == Values{1, 1, 0, 1});
  }
}

TEST_CASE("rearrange: triangles drop what is not finite", "[shape]") {
  CHECK(tensor({{1.0, NAN}, {INFINITY, 2.0}}).tril().to_vector()[1] == 0);
  CHECK(tensor({{1.0, NAN}, {INFINITY, 2.0}}).triu().to_vector()[2] == 0);
  CHECK(ones({2, 2}).tril(INT64_MAX).to_vector() == Values{1, 1, 1, 1});
  CHECK(ones({2, 2}).tril(INT64_MIN).to_vector() == Values{0, 0, 0, 0});
}

TEST_CASE("rearrange: flip, roll, tile and repeat_interleave", "[shape]") {
  const Tensor x = counted({2, 3});
  CHECK(flip(x, {-1}).to_vector() == Values{2, 1, 0, 5, 4, 3});
  CHECK(flip(x.t(), {0, 1}).to_vector() == Values{5, 2, 4, 1, 3, 0});
  CHECK(counted({1, 2, 2, 2}).channels_last().flip({1}).is_channels_last());
  CHECK(flip(x, 0).to_vector() == Values{3, 4, 5, 0, 1, 2});
  CHECK(x.flip(-1).to_vector() == x.flip({1}).to_vector());
  CHECK(roll(x, {1}).to_vector() == Values{5, 0, 1, 2, 3, 4});
  CHECK(roll(x, 1).to_vector() == Values{5, 0, 1, 2, 3, 4});
  CHECK(x.roll(-1, -1).to_vector() == Values{1, 2, 0, 4, 5, 3});
  CHECK(x.roll({-1}, {-1}).to_vector() == Values{1, 2, 0, 4, 5, 3});
  CHECK(roll(x, {-1, 4}, {0, 1}).to_vector() == Values{5, 3, 4, 2, 0, 1});
  CHECK(tile(x, {2}).to_vector() == Values{0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5});
  CHECK(x.tile({2, 1, 1}).shape() == Shape{2, 2, 3});
  CHECK(repeat_interleave(x, 2, 0).to_vector() == Values{0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5});
  CHECK(counted({2}).repeat_interleave(2).to_vector() == Values{0, 0, 1, 1});
  CHECK(x.repeat_interleave(0).numel() == 0);
}

TEST_CASE("rearrange: copies are copies where there is nothing to do, too", "[shape]") {
  const Tensor x = counted({2, 3});
  for (const Tensor& copy :
       {x.flip({}), x.roll({3}, {1}), x.roll({0}), x.repeat({1, 1}), x.tile({1}),
        x.repeat_interleave(1), x.repeat_interleave(1, 0), x.tril(9), pad(x, {}),
        pad(x, {0, 0}, PadMode::reflect), pad(x, {-1, 0}, PadMode::replicate), stack({x})}) {
    CHECK_FALSE(shares(copy, x));
  }
}

TEST_CASE("rearrange: stack promotes as cat does", "[shape]") {
  CHECK(stack({counted({2}), tensor({5, 6})}, -1).to_vector() == Values{0, 5, 1, 6});
  CHECK(stack({tensor({1.5}), tensor({5})}).dtype() == f32);
  CHECK(stack({scalar(1), scalar(2)}).shape() == Shape{2});
}

TEST_CASE("rearrange: grids", "[shape]") {
  const Tensors ij = meshgrid({counted({2}), counted({3})});
  CHECK(ij[0].to_vector() == Values{0, 0, 0, 1, 1, 1});
  CHECK(ij[1].to_vector() == Values{0, 1, 2, 0, 1, 2});
  const Tensors xy = meshgrid({counted({2}), counted({3})}, MeshIndexing::xy);
  CHECK(xy[0].shape() == Shape{3, 2});
  CHECK(xy[0].to_vector() == Values{0, 1, 0, 1, 0, 1});
  CHECK(xy[1].to_vector() == Values{0, 0, 1, 1, 2, 2});
  CHECK(shapes_of(meshgrid({counted({2}), scalar(1), counted({3})})) ==
        std::vector<Shape>(3, {2, 1, 3}));
  CHECK(shapes_of(broadcast_tensors({counted({2, 1}), counted({3}), scalar(1)})) ==
        std::vector<Shape>(3, {2, 3}));
}

TEST_CASE("rearrange: padding keeps the layout of images", "[shape]") {
  const Tensor image = counted({1, 2, 3, 3}).channels_last();
  for (const PadMode mode : {PadMode::constant, PadMode::reflect, PadMode::replicate}) {
    const Tensor padded = pad(image, {1, 1, 2, 0}, mode);
    CHECK(padded.is_channels_last());
    CHECK(padded.shape() == Shape{1, 2, 5, 5});
    CHECK(padded.to_vector() == pad(image.contiguous(), {1, 1, 2, 0}, mode).to_vector());
  }
}

TEST_CASE("rearrange: misuse is refused with the shapes", "[shape]") {
  const Tensor x = counted({2, 3});
  struct Row {
    std::function<void()> run;
    std::string text;
  };
  const std::vector<Row> rows{
      {[&] { stack({}); }, "stack: no tensors"},
      {[&] {
         stack({x, x.t()});
       },
       "stack: shapes [2, 3] and [3, 2] differ"},
      {[&] { stack({x}, 3); }, "stack: dimension 3"},
      {[&] {
         x.split({1, 3});
       },
       "split: parts of [1, 3] do not make up dimension 0 of shape [2, 3]"},
      {[&] {
         x.split({-1, 3});
       },
       "split: a part of -1 elements"},
      {[&] { x.split(0); }, "split: parts of 0 do not make up 2 elements"},
      {[&] { x.chunk(0); }, "chunk: 0 parts of shape [2, 3]"},
      {[&] { x.narrow(1, 2, 2); }, "narrow: 2 elements from 2 on are not in dimension 1"},
      {[&] { x.narrow(1, -4, 1); }, "narrow: 1 elements from -4 on"},
      {[&] { x.narrow(1, 1, INT64_MAX); }, "narrow:"},
      {[&] { x.diagonal(0, 1, -1); }, "diagonal: dimensions 1 and -1"},
      {[&] { counted({3}).diagonal(); }, "diagonal: dimension 1"},
      {[&] {
         x.expand({-1, 2, 3});
       },
       "expand: [-1, 2, 3] leaves an extent open"},
      {[&] {
         x.unflatten(1, {2, -1});
       },
       "unflatten: dimension 1 of [2, 3] does not fit into [2, -1]"},
      {[&] {
         x.unflatten(1, {-1, -1});
       },
       "unflatten: dimension 1"},
      {[&] {
         x.movedim({0, 0}, {0, 1});
       },
       "movedim: [0, 0] to [0, 1] names a dimension twice"},
      {[&] {
         x.movedim({0}, {0, 1});
       },
       "movedim: [0] and [0, 1] differ in length"},
      {[&] { x.repeat({2}); }, "repeat: [2] has fewer numbers than [2, 3]"},
      {[&] {
         x.repeat({2, -1});
       },
       "repeat: [2, -1] has a negative number"},
      {[&] { x.repeat_interleave(-1); }, "repeat_interleave: -1 repeats"},
      {[&] { x.flip({2}); }, "flip: dimension 2"},
      {[&] {
         x.flip({0, -2});
       },
       "flip: [0, -2] names dimension 0 twice"},
      {[&] {
         x.roll({1, 2}, {0});
       },
       "roll: [1, 2] shifts for the dimensions [0]"},
      {[&] { counted({3}).tril(); }, "tril: matrices are needed, not a tensor of shape [3]"},
      {[&] { pad(x, {1}); }, "pad: [1] is not two numbers for each"},
      {[&] {
         pad(x, {1, 1, 1, 1, 1, 1});
       },
       "pad: [1, 1, 1, 1, 1, 1] is not two numbers"},
      {[&] {
         pad(x, {-2, -2});
       },
       "pad: [-2, -2] takes away more than dimension 1 of [2, 3] has"},
      {[&] {
         pad(x, {3, 0}, PadMode::reflect);
       },
       "too few elements to reflect 3 and 0"},
      {[&] {
         pad(x, {4, 0}, PadMode::circular);
       },
       "too few elements to go round by 4 and 0"},
      {[&] {
         pad(zeros({2, 0}), {1, 0}, PadMode::replicate);
       },
       "no element to replicate"},
      {[&] { meshgrid({}); }, "meshgrid: no tensors"},
      {[&] { meshgrid({x}); }, "meshgrid: an axis is 1-D or 0-D, not of shape [2, 3]"},
      {[&] {
         broadcast_tensors({x, x.t()});
       },
       "broadcast_tensors: shapes [2, 3] and [3, 2]"},
  };
  for (const Row& row : rows) {
    INFO(row.text);
    CHECK_THROWS_WITH(row.run(), Contains(row.text));
  }
}
