#include <algorithm>
#include <array>
#include <limits>

#include "minidl/core/ops/conv.h"
#include "minidl/core/ops/pool.h"
#include "tests/ops/op_table.h"

namespace minidl::test {
namespace {

using Pair = std::array<std::int64_t, 2>;

struct ConvCase {
  Shape x;
  std::int64_t out = 1;
  Pair kernel{1, 1};
  Conv2dParams params = {};
  bool bias = true;
};

Array reference_conv(const ConvCase& c, const Arrays& in) {
  Shape shape{c.x[0], c.out, 0, 0};
  for (int i = 0; i < 2; ++i) {
    const auto d = static_cast<std::size_t>(i);
    shape[i + 2] =
        (c.x[i + 2] + 2 * c.params.padding[d] - c.params.dilation[d] * (c.kernel[d] - 1) - 1) /
            c.params.stride[d] +
        1;
  }
  const std::int64_t in_group = c.x[1] / c.params.groups;
  const std::int64_t out_group = c.out / c.params.groups;
  return generate(shape, [&](const Dims& o) {
    double sum = c.bias ? in[2].at({o[1]}) : 0;
    for (std::int64_t channel = 0; channel < in_group; ++channel) {
      for (std::int64_t r = 0; r < c.kernel[0]; ++r) {
        for (std::int64_t s = 0; s < c.kernel[1]; ++s) {
          const std::int64_t h =
              o[2] * c.params.stride[0] - c.params.padding[0] + r * c.params.dilation[0];
          const std::int64_t w =
              o[3] * c.params.stride[1] - c.params.padding[1] + s * c.params.dilation[1];
          if (h < 0 || h >= c.x[2] || w < 0 || w >= c.x[3]) continue;
          const std::int64_t source = o[1] / out_group * in_group + channel;
          sum += in[0].at({o[0], source, h, w}) * in[1].at({o[1], channel, r, s});
        }
      }
    }
    return sum;
  });
}

Sample conv_sample(const ConvCase& c) {
  const Shape weight{c.out, c.x[1] / c.params.groups, c.kernel[0], c.kernel[1]};
  const Input bias{{c.out}, -2, 2, c.bias ? Input::Kind::real : Input::Kind::none};
  const Conv2dParams params = c.params;
  return {to_string(c.x) + " * " + to_string(weight) + " stride " +
              std::to_string(params.stride[0]) + "," + std::to_string(params.stride[1]) +
              " padding " + std::to_string(params.padding[0]) + "," +
              std::to_string(params.padding[1]) + " dilation " +
              std::to_string(params.dilation[0]) + "," + std::to_string(params.dilation[1]) +
              " groups " + std::to_string(params.groups),
          {{c.x}, {weight}, bias},
          [params](const Tensors& in) { return conv2d(in[0], in[1], in[2], params); },
          [c](const Arrays& in) { return reference_conv(c, in); }};
}

std::vector<Sample> conv_samples(Chooser& choose) {
  std::vector<Sample> samples;
  samples.push_back(conv_sample({.x = {0, 2, 4, 4}, .out = 3, .kernel = {3, 3}}));
  samples.push_back(conv_sample({.x = {2, 3, 1, 1}, .out = 4, .bias = false}));
  for (int i = 0; i < 8; ++i) {
    ConvCase c;
    c.params.groups = choose.between(1, 3);
    c.out = c.params.groups * choose.between(1, 3);
    c.bias = choose.coin();
    c.x = {choose.between(1, 2), c.params.groups * choose.between(1, 3), 0, 0};
    for (int d = 0; d < 2; ++d) {
      const auto at = static_cast<std::size_t>(d);
      c.kernel[at] = choose.between(1, 3);
      c.params.stride[at] = choose.between(1, 3);
      c.params.padding[at] = choose.between(0, 2);
      c.params.dilation[at] = choose.between(1, 2);
      const std::int64_t reach = c.params.dilation[at] * (c.kernel[at] - 1) + 1;
      c.x[d + 2] =
          std::max<std::int64_t>(reach - 2 * c.params.padding[at], 1) + choose.between(0, 3);
    }
    samples.push_back(conv_sample(c));
  }
  return samples;
}

struct PoolCase {
  Shape x;
  Pool2dOptions options;
  Pair adaptive{0, 0};  ///< output extents; 0 for fixed windows
};

struct Window {
  std::int64_t begin, end;  ///< clipped to the input, but for windows with gaps
  std::int64_t padded;      ///< pixels counting the padding
};

Window window_of(const PoolCase& c, int dim, std::int64_t o) {
  const auto d = static_cast<std::size_t>(dim);
  const std::int64_t in = c.x[dim + 2];
  if (c.adaptive[d] > 0) {
    const std::int64_t begin = o * in / c.adaptive[d];
    const std::int64_t end = ((o + 1) * in + c.adaptive[d] - 1) / c.adaptive[d];
    return {begin, end, end - begin};
  }
  const std::int64_t stride = c.options.stride[d] == 0 ? c.options.kernel[d] : c.options.stride[d];
  const std::int64_t begin = o * stride - c.options.padding[d];
  const std::int64_t end = begin + (c.options.kernel[d] - 1) * c.options.dilation[d] + 1;
  if (c.options.dilation[d] > 1) return {begin, end, 0};
  return {std::max<std::int64_t>(begin, 0), std::min(end, in),
          std::min(end, in + c.options.padding[d]) - begin};
}

std::int64_t pooled_extent(const PoolCase& c, int dim) {
  const auto d = static_cast<std::size_t>(dim);
  if (c.adaptive[d] > 0) return c.adaptive[d];
  const std::int64_t stride = c.options.stride[d] == 0 ? c.options.kernel[d] : c.options.stride[d];
  const std::int64_t in = c.x[dim + 2];
  std::int64_t count = 0;
  // A window counts if it starts inside the input or left padding and, without ceil_mode, fits.
  while (true) {
    const std::int64_t begin = count * stride - c.options.padding[d];
    const std::int64_t span = (c.options.kernel[d] - 1) * c.options.dilation[d] + 1;
    const bool fits = begin + span <= in + c.options.padding[d];
    const bool starts_inside = begin < in;
    // With ceil_mode, one window more than fits, at most.
    const std::int64_t previous_end = begin - stride + span;
    const bool last_partial = c.options.ceil_mode && starts_inside &&
                              (count == 0 || previous_end < in + c.options.padding[d]);
    if (!fits && !last_partial) return count;
    ++count;
  }
}

Array reference_pool(const PoolCase& c, bool maximum, const Array& x) {
  const Shape shape{c.x[0], c.x[1], pooled_extent(c, 0), pooled_extent(c, 1)};
  return generate(shape, [&](const Dims& o) {
    const Window rows = window_of(c, 0, o[2]);
    const Window cols = window_of(c, 1, o[3]);
    double largest = -std::numeric_limits<double>::infinity();
    double sum = 0;
    for (std::int64_t h = rows.begin; h < rows.end; h += c.options.dilation[0]) {
      for (std::int64_t w = cols.begin; w < cols.end; w += c.options.dilation[1]) {
        if (h < 0 || w < 0 || h >= c.x[2] || w >= c.x[3]) continue;
        largest = std::max(largest, x.at({o[0], o[1], h, w}));
        sum += x.at({o[0], o[1], h, w});
      }
    }
    if (maximum) return largest;
    const bool with_padding = c.options.count_include_pad && c.adaptive[0] == 0;
    const std::int64_t count = with_padding ? rows.padded * cols.padded
                                            : (rows.end - rows.begin) * (cols.end - cols.begin);
    return sum / static_cast<double>(count);
  });
}

Sample pool_sample(const PoolCase& c, bool maximum) {
  std::string label = to_string(c.x);
  for (const Pair& pair :
       {c.options.kernel, c.options.stride, c.options.padding, c.options.dilation, c.adaptive}) {
    label += " " + std::to_string(pair[0]) + "x" + std::to_string(pair[1]);
  }
  label += c.options.ceil_mode ? " ceil" : "";
  return {label,
          {{c.x}},
          [=](const Tensors& in) {
            if (c.adaptive[0] > 0) {
              return maximum ? adaptive_max_pool2d(in[0], c.adaptive)
                             : adaptive_avg_pool2d(in[0], c.adaptive);
            }
            return maximum ? max_pool2d(in[0], c.options) : avg_pool2d(in[0], c.options);
          },
          [=](const Arrays& in) { return reference_pool(c, maximum, in[0]); }};
}

std::vector<Sample> fixed_pool_samples(Chooser& choose, bool maximum) {
  std::vector<Sample> samples{
      pool_sample({.x = {0, 2, 4, 4}, .options = {}}, maximum),
      pool_sample({.x = {1, 1, 1, 1}, .options = {.kernel = {1, 1}}}, maximum)};
  for (int i = 0; i < 6; ++i) {
    PoolCase c{.x = {choose.between(1, 2), choose.between(1, 4), 0, 0}, .options = {}};
    c.options.ceil_mode = choose.coin();
    c.options.count_include_pad = choose.coin();
    for (int d = 0; d < 2; ++d) {
      const auto at = static_cast<std::size_t>(d);
      c.options.kernel[at] = choose.between(1, 4);
      c.options.stride[at] = choose.between(0, 3);
      c.options.padding[at] = choose.between(0, c.options.kernel[at] / 2);
      if (maximum && choose.coin()) c.options.dilation[at] = choose.between(1, 3);
      const std::int64_t span = (c.options.kernel[at] - 1) * c.options.dilation[at] + 1;
      c.x[d + 2] = choose.between(span, std::max<std::int64_t>(span, 7));
    }
    samples.push_back(pool_sample(c, maximum));
  }
  return samples;
}

std::vector<Sample> adaptive_pool_samples(Chooser& choose, bool maximum) {
  std::vector<Sample> samples{
      pool_sample({.x = {2, 3, 5, 4}, .options = {}, .adaptive = {1, 1}}, maximum)};
  for (int i = 0; i < 5; ++i) {
    samples.push_back(pool_sample({.x = {choose.between(1, 2), choose.between(1, 4),
                                         choose.between(1, 7), choose.between(1, 7)},
                                   .options = {},
                                   .adaptive = {choose.between(1, 8), choose.between(1, 8)}},
                                  maximum));
  }
  return samples;
}

}  // namespace

void add_image_rows(std::vector<OpRow>& rows) {
  rows.push_back(
      {"conv2d", conv_samples, [] {
         return conv_sample(
             {.x = {8, 64, 56, 56}, .out = 64, .kernel = {3, 3}, .params = {.padding = {1, 1}}});
       }});
  for (const bool maximum : {true, false}) {
    const std::string name = maximum ? "max_pool2d" : "avg_pool2d";
    rows.push_back({name, [=](Chooser& choose) { return fixed_pool_samples(choose, maximum); },
                    [=] {
                      return pool_sample({.x = {32, 64, 56, 56}, .options = {}}, maximum);
                    }});
    rows.push_back(
        {"adaptive_" + name,
         [=](Chooser& choose) { return adaptive_pool_samples(choose, maximum); },
         [=] {
           return pool_sample({.x = {32, 64, 56, 56}, .options = {}, .adaptive = {7, 7}}, maximum);
         }});
  }
}

}  // namespace minidl::test
