// Indexing, sorting, scanning, and the reductions that go with them.

#include <algorithm>
#include <cmath>
#include <utility>

#include "minidl/core/ops/indexing.h"
#include "minidl/core/ops/reduce.h"
#include "minidl/core/ops/scan.h"
#include "minidl/core/ops/sort.h"
#include "tests/ops/op_table.h"

namespace minidl::test {
namespace {

using Kind = Input::Kind;

Input indices(const Shape& shape, std::int64_t extent) {
  return {shape, 0, static_cast<double>(extent), Kind::labels};
}

std::int64_t index_at(const Array& array, const Dims& at) {
  return static_cast<std::int64_t>(array.at(at));
}

std::string label_of(const Shape& shape, int dim, const Shape& other) {
  return to_string(shape) + " dim " + std::to_string(dim) + " with " + to_string(other);
}

Sample gather_sample(const Shape& shape, int dim, const Shape& index) {
  return {label_of(shape, dim, index),
          {{shape}, indices(index, shape[dim])},
          [=](const Tensors& in) { return gather(in[0], dim, in[1]); },
          [=](const Arrays& in) {
            return generate(index, [&](Dims at) {
              at[dim] = index_at(in[1], at);
              return in[0].at(at);
            });
          }};
}

Sample take_sample(const Shape& shape, int dim, const Shape& index, const Shape& out) {
  return {label_of(shape, dim, index),
          {{shape}, indices(index, shape[dim])},
          [=](const Tensors& in) { return take_along_dim(in[0], in[1], dim); },
          [=](const Arrays& in) {
            return generate(out, [&](const Dims& at) {
              Dims from = at;
              for (int i = 0; i < shape.size(); ++i) {
                if (shape[i] == 1 && i != dim) from[i] = 0;
              }
              from[dim] = static_cast<std::int64_t>(in[1].broadcast_at(at));
              return in[0].at(from);
            });
          }};
}

Sample scatter_sample(bool add, const Shape& shape, int dim, const Shape& index, const Shape& src) {
  return {label_of(shape, dim, index) + " from " + to_string(src),
          {{shape}, indices(index, shape[dim]), {src}},
          [=](const Tensors& in) {
            return (add ? scatter_add : static_cast<decltype(&scatter_add)>(scatter))(in[0], dim,
                                                                                      in[1], in[2]);
          },
          [=](const Arrays& in) {
            Array out = in[0];
            for_each_index(index, [&](const Dims& at) {
              Dims to = at;
              to[dim] = index_at(in[1], at);
              out.at(to) = (add ? out.at(to) : 0) + in[2].at(at);
            });
            return out;
          }};
}

Sample index_select_sample(const Shape& shape, int dim, std::int64_t count) {
  Shape out = shape;
  out[dim] = count;
  return {label_of(shape, dim, {count}),
          {{shape}, indices({count}, shape[dim])},
          [=](const Tensors& in) { return index_select(in[0], dim, in[1]); },
          [=](const Arrays& in) {
            return generate(out, [&](Dims at) {
              at[dim] = index_at(in[1], {at[dim]});
              return in[0].at(at);
            });
          }};
}

Sample index_add_sample(const Shape& shape, int dim, std::int64_t count, double alpha) {
  Shape source = shape;
  source[dim] = count;
  return {label_of(shape, dim, {count}),
          {{shape}, indices({count}, shape[dim]), {source}},
          [=](const Tensors& in) { return index_add(in[0], dim, in[1], in[2], alpha); },
          [=](const Arrays& in) {
            Array out = in[0];
            for_each_index(source, [&](const Dims& at) {
              Dims to = at;
              to[dim] = index_at(in[1], {at[dim]});
              out.at(to) += alpha * in[2].at(at);
            });
            return out;
          }};
}

// What becomes of each line along `dim`, alone.
Array by_lines(const Array& x, int dim, std::int64_t length,
               const std::function<void(std::vector<double>&)>& change) {
  Shape shape = x.shape;
  shape[dim] = length;
  Array out(shape);
  Shape starts = x.shape;
  starts[dim] = 1;
  for_each_index(starts, [&](const Dims& start) {
    std::vector<double> line;
    Dims at = start;
    for (at[dim] = 0; at[dim] < x.shape[dim]; ++at[dim]) line.push_back(x.at(at));
    change(line);
    for (at[dim] = 0; at[dim] < length; ++at[dim]) {
      out.at(at) = line[static_cast<std::size_t>(at[dim])];
    }
  });
  return out;
}

Sample sort_sample(const Shape& shape, int dim, bool descending) {
  return {to_string(shape) + " dim " + std::to_string(dim) + (descending ? " descending" : ""),
          {{shape}},
          [=](const Tensors& in) { return sort(in[0], dim, descending).values; },
          [=](const Arrays& in) {
            return by_lines(in[0], dim, shape[dim], [&](std::vector<double>& line) {
              std::sort(line.begin(), line.end());
              if (descending) std::reverse(line.begin(), line.end());
            });
          }};
}

Sample topk_sample(const Shape& shape, int dim, std::int64_t k, bool largest) {
  return {to_string(shape) + " dim " + std::to_string(dim) + " k " + std::to_string(k),
          {{shape}},
          [=](const Tensors& in) { return topk(in[0], k, dim, largest).values; },
          [=](const Arrays& in) {
            return by_lines(in[0], dim, k, [&](std::vector<double>& line) {
              std::sort(line.begin(), line.end());
              if (largest) std::reverse(line.begin(), line.end());
            });
          }};
}

Sample kthvalue_sample(const Shape& shape, int dim, std::int64_t k) {
  return {to_string(shape) + " dim " + std::to_string(dim) + " k " + std::to_string(k),
          {{shape}},
          [=](const Tensors& in) { return kthvalue(in[0], k, dim, /*keepdim=*/true).values; },
          [=](const Arrays& in) {
            return by_lines(in[0], dim, 1, [&](std::vector<double>& line) {
              std::sort(line.begin(), line.end());
              std::swap(line[0], line[static_cast<std::size_t>(k - 1)]);
            });
          }};
}

Sample scan_sample(bool product, const Shape& shape, int dim) {
  return {to_string(shape) + " dim " + std::to_string(dim),
          {{shape}},
          [=](const Tensors& in) { return (product ? cumprod : cumsum)(in[0], dim); },
          [=](const Arrays& in) {
            return by_lines(in[0], dim, shape[dim], [&](std::vector<double>& line) {
              for (std::size_t i = 1; i < line.size(); ++i) {
                line[i] = product ? line[i - 1] * line[i] : line[i - 1] + line[i];
              }
            });
          }};
}

Sample prod_sample(const Shape& shape, int dim) {
  return {to_string(shape) + " dim " + std::to_string(dim),
          {{shape}},
          [=](const Tensors& in) { return prod(in[0], dim, /*keepdim=*/true); },
          [=](const Arrays& in) {
            return by_lines(in[0], dim, 1, [&](std::vector<double>& line) {
              double product = 1;
              for (const double value : line) product *= value;
              line = {product};
            });
          }};
}

Sample logsumexp_sample(const Shape& shape, int dim) {
  return {to_string(shape) + " dim " + std::to_string(dim),
          {{shape}},
          [=](const Tensors& in) { return logsumexp(in[0], {dim}, /*keepdim=*/true); },
          [=](const Arrays& in) {
            return by_lines(in[0], dim, 1, [&](std::vector<double>& line) {
              double sum = 0;
              for (const double value : line) sum += std::exp(value);
              line = {std::log(sum)};
            });
          }};
}

// No extent is 0: indices must name something.
Shape full_shape(Chooser& choose, int ndim) {
  Shape shape;
  for (int i = 0; i < ndim; ++i) shape.push_back(choose.between(1, 5));
  return shape;
}

// Shapes of 1 to 4 dimensions, and one of them.
template <class Add>
std::vector<Sample> for_each_rank(Chooser& choose, std::vector<Sample> samples, const Add& add) {
  for (int ndim = 1; ndim <= 4; ++ndim) {
    samples.push_back(add(full_shape(choose, ndim), static_cast<int>(choose.between(0, ndim - 1))));
  }
  return samples;
}

// No longer than `shape` outside `dim`.
Shape part_of(Chooser& choose, Shape shape, int dim) {
  for (int i = 0; i < shape.size(); ++i) {
    shape[i] = i == dim ? choose.between(1, 6) : choose.between(1, shape[i]);
  }
  return shape;
}

std::vector<Sample> gather_samples(Chooser& choose) {
  return for_each_rank(choose,
                       {gather_sample({3, 4}, 0, {0, 4}), gather_sample({5}, 0, {9}),
                        gather_sample({3, 4, 5}, 2, {2, 3, 7})},
                       [&](const Shape& shape, int dim) {
                         return gather_sample(shape, dim, part_of(choose, shape, dim));
                       });
}

std::vector<Sample> scatter_samples(Chooser& choose, bool add) {
  return for_each_rank(
      choose,
      {scatter_sample(add, {3, 4}, 0, {0, 4}, {2, 4}), scatter_sample(add, {4}, 0, {9}, {9}),
       scatter_sample(add, {3, 4, 5}, 1, {2, 6, 3}, {3, 6, 4})},
      [&](const Shape& shape, int dim) {
        const Shape index = part_of(choose, shape, dim);
        Shape src = index;
        for (std::int64_t& extent : src) extent += choose.between(0, 2);
        return scatter_sample(add, shape, dim, index, src);
      });
}

std::vector<Sample> take_samples(Chooser& choose) {
  return for_each_rank(
      choose,
      {take_sample({3, 1, 4}, 0, {2, 5, 1}, {2, 5, 4}), take_sample({1, 4}, 1, {3, 2}, {3, 2})},
      [&](const Shape& shape, int dim) {
        Shape index = shape;
        for (std::int64_t& extent : index) extent = choose.coin() ? 1 : extent;
        index[dim] = choose.between(0, 4);
        Shape out = shape;
        out[dim] = index[dim];
        return take_sample(shape, dim, index, out);
      });
}

template <class Make>
void add_row(std::vector<OpRow>& rows, const char* name, std::vector<Sample> edges,
             const Make& make, const Sample& bench) {
  rows.push_back({name,
                  [=](Chooser& choose) {
                    return for_each_rank(choose, edges, [&](const Shape& shape, int dim) {
                      return make(choose, shape, dim);
                    });
                  },
                  [=] {
                    Sample sample = bench;
                    sample.reference = {};
                    return sample;
                  },
                  /*only_on_cpu=*/true});
}

}  // namespace

void add_indexing_rows(std::vector<OpRow>& rows) {
  constexpr bool kCpu = true;
  rows.push_back({"gather", gather_samples,
                  [] {
                    return gather_sample({4096, 512}, 1, {4096, 512});
                  },
                  kCpu});
  rows.push_back({"take_along_dim", take_samples,
                  [] {
                    return take_sample({64, 1, 512}, 2, {1, 64, 512}, {64, 64, 512});
                  },
                  kCpu});
  for (const bool add : {false, true}) {
    rows.push_back({add ? "scatter_add" : "scatter",
                    [=](Chooser& choose) { return scatter_samples(choose, add); },
                    [=] {
                      return scatter_sample(add, {4096, 512}, 1, {4096, 512}, {4096, 512});
                    },
                    kCpu});
  }
  add_row(
      rows, "index_select",
      {index_select_sample({3, 4}, 0, 0), index_select_sample({0, 4}, 1, 3),
       index_select_sample({7, 40}, 0, 9)},
      [](Chooser& choose, const Shape& shape, int dim) {
        return index_select_sample(shape, dim, choose.between(0, 6));
      },
      index_select_sample({8192, 256}, 0, 8192));
  add_row(
      rows, "index_add",
      {index_add_sample({3, 4}, 0, 0, 1), index_add_sample({7, 40}, 0, 90, 1),
       index_add_sample({3, 4, 5}, 1, 9, -0.5)},
      [](Chooser& choose, const Shape& shape, int dim) {
        return index_add_sample(shape, dim, choose.between(0, 6), choose.real(-2, 2));
      },
      index_add_sample({8192, 256}, 0, 8192, 1));
  add_row(
      rows, "sort", {sort_sample({0, 3}, 0, false), sort_sample({100}, 0, true)},
      [](Chooser& choose, const Shape& shape, int dim) {
        return sort_sample(shape, dim, choose.coin());
      },
      sort_sample({512, 4096}, 1, false));
  add_row(
      rows, "topk", {topk_sample({3, 0}, 1, 0, true), topk_sample({100}, 0, 7, true)},
      [](Chooser& choose, const Shape& shape, int dim) {
        return topk_sample(shape, dim, choose.between(0, shape[dim]), choose.coin());
      },
      topk_sample({512, 4096}, 1, 10, true));
  add_row(
      rows, "kthvalue", {kthvalue_sample({100}, 0, 7)},
      [](Chooser& choose, const Shape& shape, int dim) {
        return kthvalue_sample(shape, dim, choose.between(1, shape[dim]));
      },
      kthvalue_sample({512, 4096}, 1, 10));
  add_row(
      rows, "cumsum",
      {scan_sample(false, {0, 3}, 0), scan_sample(false, {300, 3}, 0),
       scan_sample(false, {3, 300}, 0)},
      [](Chooser&, const Shape& shape, int dim) { return scan_sample(false, shape, dim); },
      scan_sample(false, {4096, 1024}, 1));
  add_row(
      rows, "cumprod", {scan_sample(true, {0, 3}, 0), scan_sample(true, {2, 300}, 0)},
      [](Chooser&, const Shape& shape, int dim) { return scan_sample(true, shape, dim); },
      scan_sample(true, {4096, 1024}, 1));
  add_row(
      rows, "prod", {prod_sample({0, 3}, 0), prod_sample({2, 300}, 0)},
      [](Chooser&, const Shape& shape, int dim) { return prod_sample(shape, dim); },
      prod_sample({4096, 1024}, 1));
  add_row(
      rows, "logsumexp", {logsumexp_sample({3, 0}, 0), logsumexp_sample({2, 300}, 0)},
      [](Chooser&, const Shape& shape, int dim) { return logsumexp_sample(shape, dim); },
      logsumexp_sample({4096, 1024}, 1));
  rows.back().only_on_cpu = false;
}

}  // namespace minidl::test
