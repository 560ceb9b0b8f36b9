#include <algorithm>

#include "tests/ops/op_table.h"

namespace minidl::test {
namespace {

const Shape kBenchShape{32, 64, 56, 56};

using Method = Tensor (Tensor::*)(const Dims&, bool) const;
/// Combines what has been folded so far (the first element to begin with) with the next element.
using Fold = double (*)(double, double);

Sample sample_of(Method method, Fold fold, bool average, const Shape& shape, const Dims& dims,
                 bool keepdim) {
  return {to_string(shape) + " dims " + to_string(dims) + (keepdim ? " keepdim" : ""),
          {{shape}},
          [=](const Tensors& in) { return (in[0].*method)(dims, keepdim); },
          [=](const Arrays& in) {
            Shape kept = shape;
            for (int i = 0; i < shape.size(); ++i) {
              const bool folded =
                  dims.empty() || std::find(dims.begin(), dims.end(), i) != dims.end();
              if (folded) kept[i] = 1;
            }
            Array out(kept);
            Array count(kept);
            for_each_index(shape, [&](const Dims& index) {
              Dims target = index;
              for (int i = 0; i < shape.size(); ++i) target[i] = kept[i] == 1 ? 0 : index[i];
              const double value = in[0].at(index);
              double& so_far = out.at(target);
              so_far = count.at(target)++ == 0 ? value : fold(so_far, value);
            });
            const double per_output = static_cast<double>(numel(shape)) /
                                      static_cast<double>(std::max<std::int64_t>(numel(kept), 1));
            for (double& value : out.values) value /= average ? per_output : 1;
            if (!keepdim) {
              Shape squeezed;
              for (int i = 0; i < shape.size(); ++i) {
                const bool folded =
                    dims.empty() || std::find(dims.begin(), dims.end(), i) != dims.end();
                if (!folded) squeezed.push_back(shape[i]);
              }
              out.shape = squeezed;
            }
            return out;
          }};
}

Dims random_dims(Chooser& choose, int ndim) {
  Dims dims;
  for (int i = 0; i < ndim; ++i) {
    if (choose.coin()) dims.push_back(i);
  }
  return dims;
}

void add_row(std::vector<OpRow>& rows, const char* name, Method method, Fold fold, bool average,
             bool empty_allowed) {
  rows.push_back({name,
                  [=](Chooser& choose) {
                    std::vector<Sample> samples{
                        sample_of(method, fold, average, {}, {}, false),
                        sample_of(method, fold, average, {2, 3, 4, 5}, {0, 2, 3}, false),
                        sample_of(method, fold, average, {40, 7}, {0}, false)};
                    if (empty_allowed)
                      samples.push_back(sample_of(method, fold, false, {0, 3}, {0}, true));
                    for (int ndim = 1; ndim <= 4; ++ndim) {
                      Shape shape = choose.shape(ndim);
                      for (std::int64_t& extent : shape) extent = std::max<std::int64_t>(extent, 1);
                      samples.push_back(sample_of(method, fold, average, shape,
                                                  random_dims(choose, ndim), choose.coin()));
                    }
                    return samples;
                  },
                  [=] {
                    return sample_of(method, fold, average, kBenchShape, {0, 2, 3}, false);
                  }});
}

}  // namespace

void add_reduce_rows(std::vector<OpRow>& rows) {
  add_row(
      rows, "sum", &Tensor::sum, [](double a, double b) { return a + b; }, false, true);
  add_row(
      rows, "mean", &Tensor::mean, [](double a, double b) { return a + b; }, true, false);
  add_row(
      rows, "amax", &Tensor::amax, [](double a, double b) { return std::max(a, b); }, false, false);
  add_row(
      rows, "amin", &Tensor::amin, [](double a, double b) { return std::min(a, b); }, false, false);
}

}  // namespace minidl::test
