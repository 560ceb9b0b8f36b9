#include "minidl/core/ops/comparison.h"
#include "tests/ops/op_table.h"

namespace minidl::test {
namespace {

const Shape kBenchShape{32, 64, 56, 56};

Input mask(const Shape& shape) {
  return {.shape = shape, .kind = Input::Kind::mask};
}

/// The element that where(condition, a, b) has at an index.
double chosen(const Array& condition, const Array& a, const Array& b, const Dims& index) {
  return (condition.broadcast_at(index) != 0 ? a : b).broadcast_at(index);
}

Array number(double value) {
  Array array{Shape{}};
  array.values = {value};
  return array;
}

Shape common(const Arrays& arrays) {
  Shape shape = arrays[0].shape;
  for (const Array& array : arrays) shape = broadcast_shapes("reference", shape, array.shape);
  return shape;
}

Sample where_sample(const Shape& condition, const Shape& a, const Shape& b) {
  return {to_string(condition) + " " + to_string(a) + " " + to_string(b),
          {mask(condition), {a}, {b}},
          [](const Tensors& in) { return where(in[0], in[1], in[2]); },
          [](const Arrays& in) {
            return generate(common(in),
                            [&](const Dims& index) { return chosen(in[0], in[1], in[2], index); });
          }};
}

void add_where(std::vector<OpRow>& rows) {
  rows.push_back({"where",
                  [](Chooser& choose) {
                    std::vector<Sample> samples{
                        where_sample({}, {}, {}),
                        where_sample({3}, {}, {}),
                        where_sample({2, 1}, {1, 3}, {}),
                        where_sample({3}, {2, 1, 1}, {4, 1}),
                        where_sample({}, {2, 3}, {3}),
                        where_sample({0, 3}, {1, 3}, {3}),
                        where_sample({2, 3, 4, 5}, {3, 1, 1}, {2, 3, 4, 5})};
                    for (int ndim = 1; ndim <= 4; ++ndim) {
                      Shape shapes[3];
                      shapes[0] = shapes[1] = shapes[2] = choose.shape(ndim);
                      for (int i = 0; i < ndim; ++i) {
                        if (choose.coin()) shapes[choose.between(0, 2)][i] = 1;
                      }
                      samples.push_back(where_sample(shapes[0], shapes[1], shapes[2]));
                    }
                    return samples;
                  },
                  [] { return where_sample(kBenchShape, kBenchShape, kBenchShape); }});
}

using Choice = Tensor (*)(const Tensor& x, const Tensor& condition, double value);

/// where(condition, x, value), or where(condition, value, x) if `filled`.
void add_choice(std::vector<OpRow>& rows, const char* name, Choice choice, bool filled) {
  const auto sample = [=](const Shape& x, const Shape& condition, double value) {
    return Sample{to_string(x) + " " + to_string(condition) + " " + std::to_string(value),
                  {{x}, mask(condition)},
                  [=](const Tensors& in) { return choice(in[0], in[1], value); },
                  [=](const Arrays& in) {
                    return generate(common(in), [&](const Dims& index) {
                      const Array fill = number(value);
                      return filled ? chosen(in[1], fill, in[0], index)
                                    : chosen(in[1], in[0], fill, index);
                    });
                  }};
  };
  rows.push_back({name,
                  [=](Chooser& choose) {
                    std::vector<Sample> samples{sample({}, {}, 1.5), sample({2, 3}, {3}, -2),
                                                sample({3}, {2, 1}, 0), sample({0, 3}, {3}, 1),
                                                sample({2, 3, 4, 5}, {2, 1, 4, 5}, -30)};
                    for (int ndim = 1; ndim <= 4; ++ndim) {
                      const Shape shape = choose.shape(ndim);
                      samples.push_back(sample(shape, shape, choose.real(-2, 2)));
                    }
                    return samples;
                  },
                  [=] { return sample(kBenchShape, kBenchShape, 0.5); }});
}

}  // namespace

void add_choice_rows(std::vector<OpRow>& rows) {
  add_where(rows);
  add_choice(
      rows, "where with a number",
      [](const Tensor& x, const Tensor& condition, double value) {
        return where(condition, x, value);
      },
      false);
  add_choice(
      rows, "where with a number first",
      [](const Tensor& x, const Tensor& condition, double value) {
        return where(condition, value, x);
      },
      true);
  add_choice(rows, "masked_fill", masked_fill, true);
}

}  // namespace minidl::test
