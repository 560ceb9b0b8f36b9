// flip, roll, repeat, pad, triangles, and picking by tensors of positions.

#include <algorithm>
#include <optional>
#include <utility>

#include "minidl/core/ops/shape.h"
#include "tests/ops/op_table.h"

namespace minidl::test {
namespace {

const Shape kBenchShape{32, 64, 56, 56};

/// The index of the operand's element that an element of the result shows; none for a zero.
using Source = std::function<std::optional<Dims>(Dims)>;

Sample sample_of(std::string label, const Shape& shape, const Shape& out,
                 std::function<Tensor(const Tensor&)> run, Source source, double otherwise = 0) {
  return {to_string(shape) + " " + std::move(label),
          {{shape}},
          [run = std::move(run)](const Tensors& in) { return run(in[0]); },
          [=](const Arrays& in) {
            return generate(out, [&](const Dims& index) {
              const std::optional<Dims> from = source(index);
              return from ? in[0].at(*from) : otherwise;
            });
          }};
}

Sample flip_sample(const Shape& shape, const Dims& dims) {
  return sample_of(
      "dims " + to_string(dims), shape, shape, [=](const Tensor& x) { return x.flip(dims); },
      [=](Dims index) {
        for (const std::int64_t entry : dims) {
          const auto dim = static_cast<int>(entry);
          index[dim] = shape[dim] - 1 - index[dim];
        }
        return index;
      });
}

Sample roll_sample(const Shape& shape, std::int64_t shift, int dim) {
  return sample_of(
      "by " + std::to_string(shift) + " along " + std::to_string(dim), shape, shape,
      [=](const Tensor& x) { return x.roll({shift}, {dim}); },
      [=](Dims index) {
        index[dim] = ((index[dim] - shift) % shape[dim] + shape[dim]) % shape[dim];
        return index;
      });
}

Sample repeat_sample(const Shape& shape, const Dims& repeats) {
  const int lead = repeats.size() - shape.size();
  Shape out = repeats;
  for (int i = 0; i < shape.size(); ++i) out[lead + i] *= shape[i];
  return sample_of(
      "times " + to_string(repeats), shape, out, [=](const Tensor& x) { return x.repeat(repeats); },
      [=](const Dims& index) {
        Dims from;
        for (int i = 0; i < shape.size(); ++i) from.push_back(index[lead + i] % shape[i]);
        return from;
      });
}

Sample interleave_sample(const Shape& shape, std::int64_t repeats, int dim) {
  Shape out = shape;
  out[dim] *= repeats;
  return sample_of(
      "each " + std::to_string(repeats) + " times along " + std::to_string(dim), shape, out,
      [=](const Tensor& x) { return x.repeat_interleave(repeats, dim); },
      [=](Dims index) {
        index[dim] /= repeats;
        return index;
      });
}

Sample pad_sample(const Shape& shape, const Dims& padding, PadMode mode, double value) {
  Shape out = shape;
  Dims before = Dims::filled(shape.size(), 0);
  for (int i = 0; i < padding.size() / 2; ++i) {
    const int dim = shape.size() - 1 - i;
    before[dim] = padding[2 * i];
    out[dim] += padding[2 * i] + padding[2 * i + 1];
  }
  return sample_of(
      "by " + to_string(padding) + " mode " + std::to_string(static_cast<int>(mode)), shape, out,
      [=](const Tensor& x) { return pad(x, padding, mode, value); },
      [=](Dims index) -> std::optional<Dims> {
        for (int dim = 0; dim < shape.size(); ++dim) {
          std::int64_t i = index[dim] - before[dim];
          const std::int64_t last = shape[dim] - 1;
          if (i >= 0 && i <= last) {
            index[dim] = i;
            continue;
          }
          switch (mode) {
            case PadMode::constant: return std::nullopt;
            case PadMode::reflect: i = i < 0 ? -i : 2 * last - i; break;
            case PadMode::replicate: i = std::clamp<std::int64_t>(i, 0, last); break;
            case PadMode::circular: i = (i + shape[dim]) % shape[dim]; break;
          }
          index[dim] = i;
        }
        return index;
      },
      value);
}

Sample triangle_sample(const Shape& shape, std::int64_t diagonal, bool upper) {
  return sample_of(
      "diagonal " + std::to_string(diagonal), shape, shape,
      [=](const Tensor& x) { return upper ? x.triu(diagonal) : x.tril(diagonal); },
      [=](const Dims& index) {
        const std::int64_t right = index[index.size() - 1] - index[index.size() - 2];
        const bool kept = upper ? right >= diagonal : right <= diagonal;
        return kept ? std::optional(index) : std::nullopt;
      });
}

/// x at the positions `in[1]`, `in[2]`, ...: what to write between the brackets, and where the
/// element comes from, given the positions at its index.
struct Picking {
  std::string label;
  Shape shape;
  std::vector<Shape> positions;
  std::vector<std::int64_t> extents;
  Shape out;
  std::function<Tensor(const Tensors&)> run;
  std::function<Dims(const Arrays&, const Dims&)> source;
};

std::vector<Picking> pickings() {
  const auto at = [](const Array& array, const Dims& index) {
    return static_cast<std::int64_t>(array.at(index));
  };
  return {
      {"rows",
       {5, 4},
       {{3}},
       {5},
       {3, 4},
       [](const Tensors& in) { return in[0][in[1]]; },
       [=](const Arrays& in, const Dims& i) {
         return Dims{at(in[1], {i[0]}), i[1]};
       }},
      {"by a scalar",
       {5, 4},
       {{}},
       {5},
       {4},
       [](const Tensors& in) { return in[0][in[1]]; },
       [=](const Arrays& in, const Dims& i) {
         return Dims{at(in[1], {}), i[0]};
       }},
      {"none",
       {5, 4},
       {{0}},
       {5},
       {0, 4},
       [](const Tensors& in) { return in[0][in[1]]; },
       [=](const Arrays&, const Dims& i) { return i; }},
      {"more than there are",
       {3},
       {{4, 5}},
       {3},
       {4, 5},
       [](const Tensors& in) { return in[0][in[1]]; },
       [=](const Arrays& in, const Dims& i) { return Dims{at(in[1], i)}; }},
      {"in the middle",
       {3, 4, 5},
       {{2, 3}},
       {4},
       {3, 2, 3, 5},
       [](const Tensors& in) {
         return in[0][{Slice{}, in[1]}];
       },
       [=](const Arrays& in, const Dims& i) {
         return Dims{i[0], at(in[1], {i[1], i[2]}), i[3]};
       }},
      {"broadcast pair",
       {3, 4, 5},
       {{2, 1}, {3}},
       {3, 4},
       {2, 3, 5},
       [](const Tensors& in) {
         return in[0][{in[1], in[2]}];
       },
       [=](const Arrays& in, const Dims& i) {
         return Dims{at(in[1], {i[0], 0}), at(in[2], {i[1]}), i[2]};
       }},
      {"pair apart",
       {3, 4, 5},
       {{2}, {2}},
       {3, 5},
       {2, 4},
       [](const Tensors& in) {
         return in[0][{in[1], Slice{}, in[2]}];
       },
       [=](const Arrays& in, const Dims& i) {
         return Dims{at(in[1], {i[0]}), i[1], at(in[2], {i[0]})};
       }},
      {"beside slices and integers",
       {2, 3, 4, 5},
       {{3}},
       {4},
       {1, 1, 3, 3},
       [](const Tensors& in) {
         return in[0][{Slice{1, 2}, None, -1, in[1], Slice{{}, {}, 2}}];
       },
       [=](const Arrays& in, const Dims& i) {
         return Dims{1, 2, at(in[1], {i[2]}), 2 * i[3]};
       }},
  };
}

Sample pick_sample(const Picking& picking) {
  std::vector<Input> inputs{{picking.shape}};
  for (std::size_t i = 0; i < picking.positions.size(); ++i) {
    inputs.push_back({.shape = picking.positions[i],
                      .high = static_cast<double>(picking.extents[i]),
                      .kind = Input::Kind::labels});
  }
  return {picking.label, inputs, picking.run, [=](const Arrays& in) {
            return generate(picking.out,
                            [&](const Dims& index) { return in[0].at(picking.source(in, index)); });
          }};
}

Sample pick_bench() {
  return {"rows",
          {{{50000, 128}}, {.shape = {16384}, .high = 50000, .kind = Input::Kind::labels}},
          [](const Tensors& in) { return in[0][in[1]]; },
          {}};
}

template <class Make>
std::vector<Sample> random_samples(Chooser& choose, const Make& make) {
  std::vector<Sample> samples;
  for (int ndim = 1; ndim <= 4; ++ndim) {
    const auto dim = static_cast<int>(choose.between(0, ndim - 1));
    samples.push_back(make(choose.shape(ndim), dim));
  }
  return samples;
}

std::vector<Sample> flip_samples(Chooser& choose) {
  std::vector<Sample> samples =
      random_samples(choose, [](const Shape& shape, int dim) { return flip_sample(shape, {dim}); });
  samples.push_back(flip_sample({2, 3}, {0, 1}));
  samples.push_back(flip_sample({2, 3, 4}, {2, 0}));
  samples.push_back(flip_sample({}, {}));
  return samples;
}

std::vector<Sample> repeat_samples(Chooser& choose) {
  std::vector<Sample> samples{repeat_sample({}, {3}), repeat_sample({2}, {2, 3}),
                              repeat_sample({2, 3}, {1, 1}), repeat_sample({2, 3}, {0, 2}),
                              repeat_sample({2, 1, 3}, {2, 2, 1, 3})};
  for (int ndim = 1; ndim <= 3; ++ndim) {
    const Shape shape = choose.shape(ndim);
    Dims repeats;
    for (int i = 0; i < ndim; ++i) repeats.push_back(choose.between(1, 3));
    samples.push_back(repeat_sample(shape, repeats));
  }
  return samples;
}

std::vector<Sample> pad_samples(Chooser& choose) {
  std::vector<Sample> samples{pad_sample({2, 3}, {}, PadMode::constant, 0),
                              pad_sample({2, 3}, {1, 2}, PadMode::constant, 0.5),
                              pad_sample({2, 3}, {-1, 2, 1, -1}, PadMode::constant, -1),
                              pad_sample({0, 3}, {1, 0, 2, 1}, PadMode::constant, 3),
                              pad_sample({1, 2, 3, 4}, {1, 1, 2, 0}, PadMode::constant, 0),
                              pad_sample({4, 3}, {2, 1, 3, 3}, PadMode::reflect, 0),
                              pad_sample({2, 3}, {4, 1, 0, 3}, PadMode::replicate, 0),
                              pad_sample({2, 3}, {3, 2, 1, 2}, PadMode::circular, 0),
                              pad_sample({3, 4}, {-1, 2}, PadMode::replicate, 0)};
  const Shape shape{choose.between(2, 4), choose.between(2, 4), choose.between(2, 4)};
  for (const PadMode mode :
       {PadMode::constant, PadMode::reflect, PadMode::replicate, PadMode::circular}) {
    Dims padding;
    for (int i = 0; i < 4; ++i) padding.push_back(choose.between(0, 1));
    samples.push_back(pad_sample(shape, padding, mode, 0));
  }
  return samples;
}

std::vector<Sample> triangle_samples(Chooser& choose, bool upper) {
  std::vector<Sample> samples{triangle_sample({3, 3}, 0, upper), triangle_sample({2, 4}, 9, upper),
                              triangle_sample({2, 4}, -9, upper),
                              triangle_sample({0, 3}, 0, upper)};
  for (int ndim = 2; ndim <= 4; ++ndim) {
    samples.push_back(triangle_sample(choose.shape(ndim), choose.between(-3, 3), upper));
  }
  return samples;
}

}  // namespace

void add_rearrange_rows(std::vector<OpRow>& rows) {
  rows.push_back({"flip", flip_samples, [] { return flip_sample(kBenchShape, {3}); }});
  rows.push_back({"roll",
                  [](Chooser& choose) {
                    return random_samples(choose, [&](const Shape& shape, int dim) {
                      return roll_sample(shape, choose.between(-7, 7), dim);
                    });
                  },
                  [] { return roll_sample(kBenchShape, 3, 2); }});
  rows.push_back({"repeat", repeat_samples, [] {
                    return repeat_sample({32, 64, 28, 28}, {1, 1, 2, 2});
                  }});
  rows.push_back({"repeat_interleave",
                  [](Chooser& choose) {
                    return random_samples(choose, [&](const Shape& shape, int dim) {
                      return interleave_sample(shape, choose.between(1, 3), dim);
                    });
                  },
                  [] {
                    return interleave_sample({32, 64, 28, 56}, 2, 2);
                  }});
  rows.push_back({"pad", pad_samples, [] {
                    return pad_sample(kBenchShape, {1, 1, 1, 1}, PadMode::constant, 0);
                  }});
  for (const bool upper : {false, true}) {
    rows.push_back({upper ? "triu" : "tril",
                    [=](Chooser& choose) { return triangle_samples(choose, upper); },
                    [=] {
                      return triangle_sample({64, 512, 512}, 0, upper);
                    }});
  }
  rows.push_back({"index",
                  [](Chooser&) {
                    std::vector<Sample> samples;
                    for (const Picking& picking : pickings()) {
                      samples.push_back(pick_sample(picking));
                    }
                    return samples;
                  },
                  pick_bench, /*only_on_cpu=*/true});
}

}  // namespace minidl::test
