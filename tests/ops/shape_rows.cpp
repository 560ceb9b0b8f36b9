#include <algorithm>
#include <utility>

#include "minidl/core/ops/shape.h"
#include "tests/ops/op_table.h"

namespace minidl::test {
namespace {

const Shape kBenchShape{32, 64, 56, 56};

Dims random_permutation(Chooser& choose, int ndim) {
  Dims dims;
  for (int i = 0; i < ndim; ++i) dims.push_back(i);
  for (int i = ndim - 1; i > 0; --i) {
    std::swap(dims[i], dims[static_cast<int>(choose.between(0, i))]);
  }
  return dims;
}

Sample permute_sample(const Shape& shape, const Dims& dims) {
  return {to_string(shape) + " dims " + to_string(dims),
          {{shape}},
          [=](const Tensors& in) { return in[0].permute(dims); },
          [=](const Arrays& in) {
            Shape out;
            for (const std::int64_t dim : dims) out.push_back(in[0].shape[static_cast<int>(dim)]);
            return generate(out, [&](const Dims& index) {
              Dims source = Dims::filled(dims.size(), 0);
              for (int i = 0; i < dims.size(); ++i) source[static_cast<int>(dims[i])] = index[i];
              return in[0].at(source);
            });
          }};
}

Sample reshape_sample(const Shape& shape, const Shape& target, const Shape& resolved) {
  return {to_string(shape) + " to " + to_string(target),
          {{shape}},
          [=](const Tensors& in) { return in[0].reshape(target); },
          [=](const Arrays& in) {
            Array out = in[0];
            out.shape = resolved;
            return out;
          }};
}

Sample expand_sample(const Shape& shape, const Shape& target) {
  return {to_string(shape) + " to " + to_string(target),
          {{shape}},
          [=](const Tensors& in) { return in[0].expand(target); },
          [=](const Arrays& in) {
            return generate(target, [&](const Dims& index) { return in[0].broadcast_at(index); });
          }};
}

Sample slice_sample(const Shape& shape, int dim, std::int64_t start, std::int64_t end,
                    std::int64_t step) {
  Shape out = shape;
  out[dim] = (end - start + step - 1) / step;
  return {to_string(shape) + " dim " + std::to_string(dim) + " from " + std::to_string(start) +
              " to " + std::to_string(end) + " step " + std::to_string(step),
          {{shape}},
          [=](const Tensors& in) { return in[0].slice(dim, start, end, step); },
          [=](const Arrays& in) {
            return generate(out, [&](Dims index) {
              index[dim] = start + index[dim] * step;
              return in[0].at(index);
            });
          }};
}

Sample cat_sample(const std::vector<Shape>& shapes, int dim) {
  std::vector<Input> inputs;
  Shape out = shapes[0];
  out[dim] = 0;
  std::string label = "dim " + std::to_string(dim);
  for (const Shape& shape : shapes) {
    inputs.push_back({shape});
    out[dim] += shape[dim];
    label += " " + to_string(shape);
  }
  return {label, inputs, [=](const Tensors& in) { return cat(in, dim); },
          [=](const Arrays& in) {
            return generate(out, [&](Dims index) {
              std::size_t part = 0;
              while (index[dim] >= in[part].shape[dim]) index[dim] -= in[part++].shape[dim];
              return in[part].at(index);
            });
          }};
}

Sample stack_sample(const Shape& shape, int count, int dim) {
  Shape out = shape;
  out.insert(dim, count);
  return {to_string(shape) + " dim " + std::to_string(dim),
          std::vector<Input>(static_cast<std::size_t>(count), {shape}),
          [=](const Tensors& in) { return stack(in, dim); },
          [=](const Arrays& in) {
            return generate(out, [&](Dims index) {
              const auto part = static_cast<std::size_t>(index[dim]);
              index.erase(dim);
              return in[part].at(index);
            });
          }};
}

// The last part before the first; those between get no gradient.
Sample split_sample(const Shape& shape, const std::vector<std::int64_t>& sizes, int dim) {
  Shape out = shape;
  out[dim] = sizes.back() + sizes.front();
  return {
      to_string(shape) + " into " + std::to_string(sizes.size()) + " along " + std::to_string(dim),
      {{shape}},
      [=](const Tensors& in) {
        const Tensors parts = in[0].split(sizes, dim);
        return cat({parts.back(), parts.front()}, dim);
      },
      [=](const Arrays& in) {
        return generate(out, [&](Dims index) {
          const bool is_last = index[dim] < sizes.back();
          index[dim] += is_last ? shape[dim] - sizes.back() : -sizes.back();
          return in[0].at(index);
        });
      }};
}

Sample diagonal_sample(const Shape& shape, std::int64_t offset, int dim1, int dim2) {
  const std::int64_t down = std::max<std::int64_t>(-offset, 0);
  const std::int64_t right = std::max<std::int64_t>(offset, 0);
  Shape out = shape;
  for (const int dim : {std::max(dim1, dim2), std::min(dim1, dim2)}) out.erase(dim);
  out.push_back(std::max<std::int64_t>(std::min(shape[dim1] - down, shape[dim2] - right), 0));
  return {
      to_string(shape) + " offset " + std::to_string(offset) + " dims " + std::to_string(dim1) +
          " " + std::to_string(dim2),
      {{shape}},
      [=](const Tensors& in) { return in[0].diagonal(offset, dim1, dim2); },
      [=](const Arrays& in) {
        return generate(out, [&](const Dims& index) {
          Dims source;
          int next = 0;
          for (int dim = 0; dim < shape.size(); ++dim) {
            const bool first = dim == dim1;
            const bool on_diagonal = first || dim == dim2;
            source.push_back(on_diagonal ? index.back() + (first ? down : right) : index[next++]);
          }
          return in[0].at(source);
        });
      }};
}

std::vector<Sample> reshape_samples(Chooser& choose) {
  std::vector<Sample> samples{reshape_sample({}, {1, 1}, {1, 1}),
                              reshape_sample({1}, {}, {}),
                              reshape_sample({0, 3}, {3, 0}, {3, 0}),
                              reshape_sample({2, 3, 4}, {-1, 4}, {6, 4}),
                              reshape_sample({6, 4}, {3, 2, -1}, {3, 2, 4}),
                              reshape_sample({2, 3, 4, 5}, {2, 60}, {2, 60}),
                              reshape_sample({2, 1, 3}, {2, 3}, {2, 3})};
  for (int i = 0; i < 4; ++i) {
    const Shape shape{choose.between(1, 4), choose.between(1, 4), choose.between(1, 4)};
    const Shape merged{shape[0] * shape[1], shape[2]};
    samples.push_back(reshape_sample(shape, merged, merged));
    samples.push_back(reshape_sample(merged, shape, shape));
    samples.push_back(reshape_sample(shape, {numel(shape)}, {numel(shape)}));
  }
  return samples;
}

std::vector<Sample> slice_samples(Chooser& choose) {
  std::vector<Sample> samples{slice_sample({5}, 0, 0, 5, 1), slice_sample({5}, 0, 2, 2, 1),
                              slice_sample({2, 3, 4, 5}, 1, 1, 3, 1)};
  for (int ndim = 1; ndim <= 4; ++ndim) {
    const Shape shape = choose.shape(ndim);
    const auto dim = static_cast<int>(choose.between(0, ndim - 1));
    const std::int64_t start = choose.between(0, shape[dim]);
    const std::int64_t end = choose.between(start, shape[dim]);
    samples.push_back(slice_sample(shape, dim, start, end, choose.between(1, 3)));
  }
  return samples;
}

std::vector<Sample> cat_samples(Chooser& choose) {
  std::vector<Sample> samples{cat_sample({{2, 3}}, 0), cat_sample({{2, 3}, {0, 3}, {1, 3}}, 0)};
  for (int ndim = 1; ndim <= 4; ++ndim) {
    const auto dim = static_cast<int>(choose.between(0, ndim - 1));
    std::vector<Shape> shapes(3, choose.shape(ndim));
    for (Shape& shape : shapes) shape[dim] = choose.between(0, 4);
    samples.push_back(cat_sample(shapes, dim));
  }
  return samples;
}

std::vector<Sample> stack_samples(Chooser& choose) {
  std::vector<Sample> samples{stack_sample({}, 2, 0), stack_sample({2, 3}, 1, 1)};
  for (int ndim = 1; ndim <= 4; ++ndim) {
    samples.push_back(
        stack_sample(choose.shape(ndim), 3, static_cast<int>(choose.between(0, ndim))));
  }
  return samples;
}

std::vector<Sample> split_samples(Chooser& choose) {
  std::vector<Sample> samples{split_sample({5}, {2, 0, 3}, 0), split_sample({2, 3}, {1, 1, 1}, 1)};
  for (int ndim = 1; ndim <= 4; ++ndim) {
    const auto dim = static_cast<int>(choose.between(0, ndim - 1));
    const std::vector<std::int64_t> sizes{choose.between(0, 3), choose.between(0, 3),
                                          choose.between(1, 3)};
    Shape shape = choose.shape(ndim);
    shape[dim] = sizes[0] + sizes[1] + sizes[2];
    samples.push_back(split_sample(shape, sizes, dim));
  }
  return samples;
}

std::vector<Sample> diagonal_samples(Chooser& choose) {
  std::vector<Sample> samples{diagonal_sample({3, 3}, 0, 0, 1), diagonal_sample({0, 3}, 0, 0, 1),
                              diagonal_sample({2, 3}, 3, 0, 1), diagonal_sample({2, 3}, -7, 0, 1)};
  for (int i = 0; i < 4; ++i) {
    samples.push_back(
        diagonal_sample(choose.shape(2 + i % 3), choose.between(-3, 3), i % 2, 1 - i % 2));
  }
  samples.push_back(diagonal_sample(choose.shape(4), 1, 3, 1));
  return samples;
}

}  // namespace

void add_shape_rows(std::vector<OpRow>& rows) {
  rows.push_back(
      {"permute",
       [](Chooser& choose) {
         std::vector<Sample> samples;
         for (int ndim = 0; ndim <= 5; ++ndim) {
           samples.push_back(permute_sample(choose.shape(ndim), random_permutation(choose, ndim)));
         }
         return samples;
       },
       [] {
         Sample sample = permute_sample(kBenchShape, {0, 2, 3, 1});
         sample.run = [](const Tensors& in) { return in[0].permute({0, 2, 3, 1}).contiguous(); };
         return sample;
       }});
  rows.push_back({"reshape", reshape_samples, [] {
                    return reshape_sample(kBenchShape, {-1, 56}, {32 * 64 * 56, 56});
                  }});
  rows.push_back(
      {"expand",
       [](Chooser& choose) {
         std::vector<Sample> samples{expand_sample({}, {2, 3}), expand_sample({3}, {0, 3})};
         for (int ndim = 1; ndim <= 4; ++ndim) {
           const Shape target = choose.shape(ndim);
           Shape shape = target;
           for (std::int64_t& extent : shape) extent = choose.coin() ? 1 : extent;
           samples.push_back(expand_sample(shape, target));
         }
         return samples;
       },
       [] {
         return expand_sample({64, 1, 1}, kBenchShape);
       }});
  rows.push_back({"slice", slice_samples, [] { return slice_sample(kBenchShape, 2, 0, 56, 2); }});
  rows.push_back({"stack", stack_samples, [] { return stack_sample(kBenchShape, 2, 1); }});
  rows.push_back({"split", split_samples, [] {
                    return split_sample(kBenchShape, {32, 16, 16}, 1);
                  }});
  rows.push_back({"diagonal", diagonal_samples, [] {
                    return diagonal_sample({64, 512, 512}, 1, 1, 2);
                  }});
  rows.push_back({"cat", cat_samples, [] { return cat_sample({kBenchShape, kBenchShape}, 1); }});
}

}  // namespace minidl::test
