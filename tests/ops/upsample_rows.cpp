#include <algorithm>
#include <cmath>

#include "minidl/core/ops/upsample.h"
#include "tests/ops/op_table.h"

namespace minidl::test {
namespace {

struct ResizeCase {
  Shape x;
  InterpolateOptions options;
};

/// Position in the input, as a real number, of output pixel o along one dimension.
double position(const ResizeCase& c, int dim, std::int64_t o, std::int64_t out) {
  const auto d = static_cast<std::size_t>(dim);
  const auto in = static_cast<double>(c.x[dim + 2]);
  const auto index = static_cast<double>(o);
  const auto count = static_cast<double>(out);
  if (c.options.align_corners) return out > 1 ? index * (in - 1) / (count - 1) : 0;
  const double scale = c.options.scale_factor ? (*c.options.scale_factor)[d] : count / in;
  if (c.options.mode == InterpolateMode::bilinear) return (index + 0.5) / scale - 0.5;
  // Ratios of extents must not fall below the whole number that they are.
  return std::min(std::floor(index / scale + 1e-9), in - 1);
}

Array reference_resize(const ResizeCase& c, const Array& x) {
  Shape shape = c.x;
  for (const int i : {0, 1}) {
    const auto d = static_cast<std::size_t>(i);
    shape[i + 2] = c.options.size
                       ? (*c.options.size)[d]
                       : static_cast<std::int64_t>(std::floor(static_cast<double>(c.x[i + 2]) *
                                                              (*c.options.scale_factor)[d]));
  }
  // The tent function around the position weighs the input pixels, those at the border as if they
  // went on for ever.
  return generate(shape, [&](const Dims& o) {
    const double at_h = position(c, 0, o[2], shape[2]);
    const double at_w = position(c, 1, o[3], shape[3]);
    double sum = 0;
    for_each_index({c.x[2] + 2, c.x[3] + 2}, [&](const Dims& index) {
      const auto tent = [](double at, std::int64_t pixel) {
        return std::max(0.0, 1 - std::abs(at - static_cast<double>(pixel)));
      };
      const std::int64_t h = index[0] - 1;
      const std::int64_t w = index[1] - 1;
      sum += tent(at_h, h) * tent(at_w, w) *
             x.at({o[0], o[1], std::clamp<std::int64_t>(h, 0, c.x[2] - 1),
                   std::clamp<std::int64_t>(w, 0, c.x[3] - 1)});
    });
    return sum;
  });
}

Sample resize_sample(const ResizeCase& c) {
  std::string label = to_string(c.x);
  if (c.options.size) {
    label +=
        " to " + std::to_string((*c.options.size)[0]) + "x" + std::to_string((*c.options.size)[1]);
  } else {
    label += " times " + std::to_string((*c.options.scale_factor)[0]) + "x" +
             std::to_string((*c.options.scale_factor)[1]);
  }
  return {label + (c.options.align_corners ? " aligned" : ""),
          {{c.x}},
          [=](const Tensors& in) { return interpolate(in[0], c.options); },
          [=](const Arrays& in) { return reference_resize(c, in[0]); }};
}

std::vector<Sample> resize_samples(Chooser& choose, InterpolateMode mode, bool align_corners) {
  auto sample = [&](const Shape& x, InterpolateOptions options) {
    options.mode = mode;
    options.align_corners = align_corners;
    return resize_sample({x, options});
  };
  std::vector<Sample> samples{
      sample({0, 3, 2, 2}, {.size = {{3, 4}}}), sample({1, 1, 1, 1}, {.size = {{3, 2}}}),
      sample({2, 3, 4, 5}, {.size = {{4, 5}}}), sample({2, 3, 4, 5}, {.size = {{1, 1}}}),
      sample({1, 70, 2, 3}, {.scale_factor = {{2, 2}}})};
  for (int i = 0; i < 3; ++i) {
    const Shape x{choose.between(1, 2), choose.between(1, 4), choose.between(1, 6),
                  choose.between(1, 6)};
    samples.push_back(sample(x, {.size = {{choose.between(1, 9), choose.between(1, 9)}}}));
    samples.push_back(sample(x, {.scale_factor = {{choose.real(1, 2.5), choose.real(1, 2.5)}}}));
  }
  return samples;
}

}  // namespace

void add_upsample_rows(std::vector<OpRow>& rows) {
  const auto add = [&](const char* name, InterpolateMode mode, bool align_corners) {
    rows.push_back(
        {name, [=](Chooser& choose) { return resize_samples(choose, mode, align_corners); },
         [=] {
           return resize_sample(
               {{8, 64, 56, 56},
                {.scale_factor = {{2, 2}}, .mode = mode, .align_corners = align_corners}});
         },
         true});
  };
  add("interpolate (nearest)", InterpolateMode::nearest, false);
  add("interpolate (bilinear)", InterpolateMode::bilinear, false);
  add("interpolate (bilinear, align_corners)", InterpolateMode::bilinear, true);
}

}  // namespace minidl::test
