// Reductions that are made of others.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/ops/op_table.h"

namespace minidl::test {
namespace {

/// A number from those that are folded into it.
using Fold = std::function<double(const std::vector<double>&)>;

Sample sample_of(const std::string& label, const Shape& shape, const Dims& dims, bool keepdim,
                 double low, std::function<Tensor(const Tensor&)> run, const Fold& fold) {
  return {to_string(shape) + " dims " + to_string(dims) + (keepdim ? " keepdim " : " ") + label,
          {{.shape = shape, .low = low}},
          [run = std::move(run)](const Tensors& in) { return run(in[0]); },
          [=](const Arrays& in) {
            Shape kept = shape;
            Shape squeezed;
            for (int i = 0; i < shape.size(); ++i) {
              const bool folded =
                  dims.empty() || std::find(dims.begin(), dims.end(), i) != dims.end();
              if (folded) kept[i] = 1;
              if (!folded) squeezed.push_back(shape[i]);
            }
            Array out = generate(kept, [&](const Dims& at) {
              std::vector<double> values;
              for_each_index(shape, [&](const Dims& index) {
                bool mine = true;
                for (int i = 0; i < shape.size(); ++i) {
                  mine = mine && (kept[i] != shape[i] || index[i] == at[i]);
                }
                if (mine) values.push_back(in[0].at(index));
              });
              return fold(values);
            });
            if (!keepdim) out.shape = squeezed;
            return out;
          }};
}

double variance(const std::vector<double>& values, bool unbiased) {
  const auto count = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return squares / (count - (unbiased ? 1 : 0));
}

double norm(const std::vector<double>& values, double p) {
  double sum = 0;
  double largest = 0;
  for (const double value : values) {
    sum += std::pow(std::abs(value), p);
    largest = std::max(largest, std::abs(value));
  }
  return std::isinf(p) ? largest : std::pow(sum, 1 / p);
}

struct Folded {
  Shape shape;
  Dims dims;
  bool keepdim;
};

// At least two elements are folded: one alone has no variance.
std::vector<Folded> folds(Chooser& choose) {
  const std::int64_t extent = choose.between(2, 5);
  return {{{5}, {}, false},
          {{2, 3}, {0}, false},
          {{2, 3}, {1}, true},
          {{3, 0, 2}, {0, 2}, false},
          {{extent, 3, 2}, {0, 2}, true},
          {{2, 3, extent, 2}, {2, 3}, false}};
}

}  // namespace

void add_statistics_rows(std::vector<OpRow>& rows) {
  const Shape bench{32, 64, 56, 56};
  for (const bool unbiased : {true, false}) {
    const auto var_of = [=](const Shape& shape, const Dims& dims, bool keepdim) {
      return sample_of(
          unbiased ? "unbiased" : "biased", shape, dims, keepdim, -2,
          [=](const Tensor& x) { return x.var(dims, unbiased, keepdim); },
          [=](const std::vector<double>& values) { return variance(values, unbiased); });
    };
    const auto std_of = [=](const Shape& shape, const Dims& dims, bool keepdim) {
      return sample_of(
          unbiased ? "unbiased" : "biased", shape, dims, keepdim, -2,
          [=](const Tensor& x) { return x.std(dims, unbiased, keepdim); },
          [=](const std::vector<double>& values) { return std::sqrt(variance(values, unbiased)); });
    };
    const auto add = [&](const std::string& name, const auto& make) {
      rows.push_back({name,
                      [=](Chooser& choose) {
                        std::vector<Sample> samples;
                        for (const Folded& fold : folds(choose)) {
                          samples.push_back(make(fold.shape, fold.dims, fold.keepdim));
                        }
                        return samples;
                      },
                      [=] {
                        return make(bench, {0, 2, 3}, false);
                      }});
    };
    add(unbiased ? "var" : "var biased", var_of);
    add(unbiased ? "std" : "std biased", std_of);
  }
  for (const double p : {1.0, 2.0, 3.0, 0.5, double{INFINITY}}) {
    const auto norm_of = [=](const Shape& shape, const Dims& dims, bool keepdim) {
      return sample_of(
          "p " + std::to_string(p), shape, dims, keepdim, p < 1 ? 0.3 : -2,
          [=](const Tensor& x) { return x.norm(p, dims, keepdim); },
          [=](const std::vector<double>& values) { return norm(values, p); });
    };
    rows.push_back({"norm " + std::to_string(p),
                    [=](Chooser& choose) {
                      std::vector<Sample> samples;
                      for (const Folded& fold : folds(choose)) {
                        if (numel(fold.shape) == 0 && std::isinf(p)) continue;
                        samples.push_back(norm_of(fold.shape, fold.dims, fold.keepdim));
                      }
                      return samples;
                    },
                    [=] {
                      return norm_of(bench, {0, 2, 3}, false);
                    }});
  }
  for (const bool largest : {true, false}) {
    const auto extremum_of = [=](const Shape& shape, int dim) {
      return sample_of(
          largest ? "max" : "min", shape, {dim}, false, -2,
          [=](const Tensor& x) { return largest ? x.max(dim).values : x.min(dim).values; },
          [=](const std::vector<double>& values) {
            return largest ? *std::max_element(values.begin(), values.end())
                           : *std::min_element(values.begin(), values.end());
          });
    };
    rows.push_back({largest ? "max" : "min",
                    [=](Chooser&) {
                      return std::vector<Sample>{extremum_of({4}, 0), extremum_of({2, 3}, 1),
                                                 extremum_of({3, 2, 4}, 0)};
                    },
                    [=] { return extremum_of(bench, 3); }});
  }
}

}  // namespace minidl::test
