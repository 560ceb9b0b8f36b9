// Convolutions other than conv2d: its special cases, and what is made of it.

#include <array>

#include "minidl/core/ops/conv.h"
#include "minidl/core/ops/conv_transpose.h"
#include "tests/ops/op_table.h"

namespace minidl::test {
namespace {

using Pair = std::array<std::int64_t, 2>;

struct TransposeCase {
  Shape x;               ///< [N, C, H, W]
  std::int64_t out = 1;  ///< channels of each group
  Pair kernel{1, 1};
  ConvTranspose2dParams params = {};
  bool bias = true;
};

// Every input pixel adds its weights to the output, as the definition has it.
Array reference_transpose(const TransposeCase& c, const Arrays& in) {
  Shape shape{c.x[0], c.out * c.params.groups, 0, 0};
  for (int i = 0; i < 2; ++i) {
    const auto d = static_cast<std::size_t>(i);
    shape[i + 2] = (c.x[i + 2] - 1) * c.params.stride[d] - 2 * c.params.padding[d] +
                   c.params.dilation[d] * (c.kernel[d] - 1) + c.params.output_padding[d] + 1;
  }
  Array y = generate(shape, [&](const Dims& o) { return c.bias ? in[2].at({o[1]}) : 0; });
  const std::int64_t in_group = c.x[1] / c.params.groups;
  for_each_index(c.x, [&](const Dims& i) {
    for_each_index({c.out, c.kernel[0], c.kernel[1]}, [&](const Dims& k) {
      const std::int64_t channel = i[1] / in_group * c.out + k[0];
      const std::int64_t h =
          i[2] * c.params.stride[0] - c.params.padding[0] + k[1] * c.params.dilation[0];
      const std::int64_t w =
          i[3] * c.params.stride[1] - c.params.padding[1] + k[2] * c.params.dilation[1];
      if (h < 0 || h >= shape[2] || w < 0 || w >= shape[3]) return;
      y.at({i[0], channel, h, w}) += in[0].at(i) * in[1].at({i[1], k[0], k[1], k[2]});
    });
  });
  return y;
}

std::string pair_text(const char* name, const Pair& pair) {
  return std::string(" ") + name + " " + std::to_string(pair[0]) + "," + std::to_string(pair[1]);
}

Sample transpose_sample(const TransposeCase& c) {
  const Shape weight{c.x[1], c.out, c.kernel[0], c.kernel[1]};
  const Input bias{
      {c.out * c.params.groups}, -2, 2, c.bias ? Input::Kind::real : Input::Kind::none};
  const ConvTranspose2dParams params = c.params;
  return {to_string(c.x) + " * " + to_string(weight) + pair_text("stride", params.stride) +
              pair_text("padding", params.padding) +
              pair_text("output_padding", params.output_padding) +
              pair_text("dilation", params.dilation) + " groups " + std::to_string(params.groups),
          {{c.x}, {weight}, bias},
          [params](const Tensors& in) { return conv_transpose2d(in[0], in[1], in[2], params); },
          [c](const Arrays& in) { return reference_transpose(c, in); }};
}

std::vector<Sample> transpose_samples(Chooser& choose) {
  std::vector<Sample> samples;
  samples.push_back(transpose_sample({.x = {0, 2, 4, 4}, .out = 3, .kernel = {3, 3}}));
  samples.push_back(transpose_sample({.x = {2, 3, 1, 1}, .out = 4, .bias = false}));
  samples.push_back(transpose_sample(
      {.x = {1, 2, 3, 3},
       .out = 2,
       .kernel = {3, 3},
       .params = {.stride = {2, 2}, .padding = {1, 1}, .output_padding = {1, 1}}}));
  for (int i = 0; i < 6; ++i) {
    TransposeCase c;
    c.params.groups = choose.between(1, 3);
    c.out = choose.between(1, 3);
    c.bias = choose.coin();
    c.x = {choose.between(1, 2), c.params.groups * choose.between(1, 3), choose.between(1, 4),
           choose.between(1, 4)};
    for (std::size_t d = 0; d < 2; ++d) {
      c.kernel[d] = choose.between(1, 3);
      c.params.stride[d] = choose.between(1, 3);
      c.params.dilation[d] = choose.between(1, 2);
      c.params.output_padding[d] = choose.between(0, c.params.stride[d] - 1);
      const std::int64_t reach = c.params.dilation[d] * (c.kernel[d] - 1);
      c.params.padding[d] = choose.between(0, reach / 2);
    }
    samples.push_back(transpose_sample(c));
  }
  return samples;
}

// A filter for each channel, or `multiplier` of them.
Sample depthwise_sample(const Shape& x, std::int64_t multiplier, std::int64_t kernel,
                        std::int64_t stride) {
  const std::int64_t channels = x[1];
  const Shape weight{channels * multiplier, 1, kernel, kernel};
  const std::int64_t padding = kernel / 2;
  return {
      to_string(x) + " * " + to_string(weight) + " stride " + std::to_string(stride),
      {{x}, {weight}, {{channels * multiplier}}},
      [=](const Tensors& in) {
        return conv2d(
            in[0], in[1], in[2],
            {.stride = {stride, stride}, .padding = {padding, padding}, .groups = channels});
      },
      [=](const Arrays& in) {
        auto extent = [&](int dim) { return (x[dim] + 2 * padding - kernel) / stride + 1; };
        return generate({x[0], channels * multiplier, extent(2), extent(3)}, [&](const Dims& o) {
          double sum = in[2].at({o[1]});
          for_each_index({kernel, kernel}, [&](const Dims& k) {
            const std::int64_t h = o[2] * stride - padding + k[0];
            const std::int64_t w = o[3] * stride - padding + k[1];
            if (h < 0 || h >= x[2] || w < 0 || w >= x[3]) return;
            sum += in[0].at({o[0], o[1] / multiplier, h, w}) * in[1].at({o[1], 0, k[0], k[1]});
          });
          return sum;
        });
      }};
}

struct Conv1dCase {
  Shape x;  ///< [N, C, L]
  std::int64_t out = 1, kernel = 1;
  Conv1dParams params = {};
};

Sample conv1d_sample(const Conv1dCase& c) {
  const Conv1dParams p = c.params;
  const std::int64_t in_group = c.x[1] / p.groups;
  const std::int64_t out_group = c.out / p.groups;
  const Shape weight{c.out, in_group, c.kernel};
  return {to_string(c.x) + " * " + to_string(weight) + " stride " + std::to_string(p.stride) +
              " padding " + std::to_string(p.padding) + " dilation " + std::to_string(p.dilation) +
              " groups " + std::to_string(p.groups),
          {{c.x}, {weight}, {{c.out}}},
          [p](const Tensors& in) { return conv1d(in[0], in[1], in[2], p); },
          [=](const Arrays& in) {
            const std::int64_t reach = p.dilation * (c.kernel - 1) + 1;
            const std::int64_t extent = (c.x[2] + 2 * p.padding - reach) / p.stride + 1;
            return generate({c.x[0], c.out, extent}, [&](const Dims& o) {
              double sum = in[2].at({o[1]});
              for_each_index({in_group, c.kernel}, [&](const Dims& k) {
                const std::int64_t at = o[2] * p.stride - p.padding + k[1] * p.dilation;
                if (at < 0 || at >= c.x[2]) return;
                sum += in[0].at({o[0], o[1] / out_group * in_group + k[0], at}) *
                       in[1].at({o[1], k[0], k[1]});
              });
              return sum;
            });
          }};
}

std::vector<Sample> conv1d_samples(Chooser& choose) {
  std::vector<Sample> samples{conv1d_sample({.x = {0, 2, 5}, .out = 3, .kernel = 3})};
  for (int i = 0; i < 4; ++i) {
    Conv1dCase c;
    c.params.groups = choose.between(1, 2);
    c.out = c.params.groups * choose.between(1, 3);
    c.kernel = choose.between(1, 3);
    c.params.stride = choose.between(1, 2);
    c.params.padding = choose.between(0, 2);
    c.params.dilation = choose.between(1, 2);
    c.x = {choose.between(1, 2), c.params.groups * choose.between(1, 3), choose.between(5, 8)};
    samples.push_back(conv1d_sample(c));
  }
  return samples;
}

}  // namespace

void add_conv_rows(std::vector<OpRow>& rows) {
  rows.push_back({"conv_transpose2d", transpose_samples, [] {
                    return transpose_sample({.x = {8, 64, 28, 28},
                                             .out = 32,
                                             .kernel = {4, 4},
                                             .params = {.stride = {2, 2}, .padding = {1, 1}}});
                  }});
  rows.push_back({"conv2d (depthwise)",
                  [](Chooser& choose) {
                    return std::vector<Sample>{
                        depthwise_sample({2, 5, 4, 5}, 1, 3, 1),
                        depthwise_sample({1, 3, 5, 4}, 2, 3, 2),
                        depthwise_sample({1, choose.between(1, 20), 3, 3}, choose.between(1, 2), 3,
                                         choose.between(1, 2))};
                  },
                  [] {
                    return depthwise_sample({8, 96, 56, 56}, 1, 7, 1);
                  }});
  rows.push_back({"conv1d", conv1d_samples, [] {
                    return conv1d_sample({.x = {16, 64, 4096}, .out = 64, .kernel = 3});
                  }});
}

}  // namespace minidl::test
