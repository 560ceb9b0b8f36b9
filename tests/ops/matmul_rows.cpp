#include "minidl/core/ops/matmul.h"
#include "tests/ops/op_table.h"

namespace minidl::test {
namespace {

// Operands of two dimensions or more; vectors have cases of their own in tests/core.
Array reference_matmul(const Arrays& in) {
  const Array& a = in[0];
  const Array& b = in[1];
  Shape lead_a = a.shape;
  Shape lead_b = b.shape;
  for (Shape* shape : {&lead_a, &lead_b}) {
    shape->erase(shape->size() - 1);
    shape->erase(shape->size() - 1);
  }
  Shape out = broadcast_shapes("reference", lead_a, lead_b);
  out.push_back(a.shape[a.shape.size() - 2]);
  out.push_back(b.shape.back());
  const int last = out.size() - 1;
  return generate(out, [&](const Dims& index) {
    double sum = 0;
    for (std::int64_t k = 0; k < a.shape.back(); ++k) {
      Dims at_a = index;
      Dims at_b = index;
      at_a[last] = k;
      at_b[last - 1] = k;
      // The matrix dimensions must not be stretched where their extent happens to be 1.
      sum += a.broadcast_at(at_a) * b.broadcast_at(at_b);
    }
    return sum;
  });
}

Sample matmul_sample(const Shape& a, const Shape& b) {
  return {to_string(a) + " x " + to_string(b),
          {{a}, {b}},
          [](const Tensors& in) { return matmul(in[0], in[1]); },
          reference_matmul};
}

Sample linear_sample(const Shape& x, std::int64_t out, bool with_bias) {
  const Input bias{{out}, -2, 2, with_bias ? Input::Kind::real : Input::Kind::none};
  return {to_string(x) + " to " + std::to_string(out) + (with_bias ? " with bias" : ""),
          {{x}, {{out, x.back()}}, bias},
          [](const Tensors& in) { return linear(in[0], in[1], in[2]); },
          [=](const Arrays& in) {
            Shape shape = x;
            shape.back() = out;
            return generate(shape, [&](Dims index) {
              const std::int64_t unit = index.back();
              double sum = with_bias ? in[2].at({unit}) : 0;
              for (std::int64_t k = 0; k < x.back(); ++k) {
                index.back() = k;
                sum += in[0].at(index) * in[1].at({unit, k});
              }
              return sum;
            });
          }};
}

}  // namespace

void add_matmul_rows(std::vector<OpRow>& rows) {
  rows.push_back({"matmul",
                  [](Chooser& choose) {
                    std::vector<Sample> samples{
                        matmul_sample({0, 3}, {3, 2}), matmul_sample({2, 0}, {0, 3}),
                        matmul_sample({3, 2, 4}, {4, 5}), matmul_sample({2, 1, 3, 4}, {5, 4, 2}),
                        matmul_sample({2, 4}, {3, 4, 2})};
                    for (int i = 0; i < 4; ++i) {
                      const std::int64_t m = choose.between(1, 7);
                      const std::int64_t k = choose.between(1, 7);
                      const std::int64_t n = choose.between(1, 7);
                      const std::int64_t batch = choose.between(1, 3);
                      samples.push_back(matmul_sample({m, k}, {k, n}));
                      samples.push_back(matmul_sample({batch, m, k}, {batch, k, n}));
                    }
                    return samples;
                  },
                  [] {
                    return matmul_sample({1024, 1024}, {1024, 1024});
                  }});
  rows.push_back({"linear",
                  [](Chooser& choose) {
                    std::vector<Sample> samples{linear_sample({0, 3}, 2, true),
                                                linear_sample({4}, 3, true),
                                                linear_sample({2, 3, 4}, 5, false)};
                    for (int i = 0; i < 4; ++i) {
                      samples.push_back(linear_sample({choose.between(1, 7), choose.between(1, 7)},
                                                      choose.between(1, 7), choose.coin()));
                    }
                    return samples;
                  },
                  [] {
                    return linear_sample({256, 1024}, 1024, true);
                  }});
}

}  // namespace minidl::test
