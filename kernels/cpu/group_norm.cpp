// Two passes over the images in each direction. The first takes two sums of every channel of every
// sample; what belongs to groups is made of these. The second computes each element from a few
// coefficients of its sample and channel.

#include "minidl/kernels/group_norm.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "minidl/kernels/cpu/pixels.h"
#include "minidl/kernels/cpu/rows.h"

namespace minidl::kernels::cpu {
namespace {

constexpr std::int64_t kLanes = 8;

/// Of every sample and channel, [N, C] row-major.
template <class T>
using PerChannel = std::vector<T>;

struct Sums {
  double first = 0, second = 0;
};

/// Samples, channels, groups, and what lies in each channel.
struct Geometry {
  std::int64_t samples, channels, groups, pixels;
  Shape pixel_shape;

  Geometry(const View& x, const View& mean)
      : samples(x.size(0)),
        channels(x.size(1)),
        groups(mean.size(1)),
        pixel_shape(x.shape.slice(2, x.ndim())) {
    pixels = numel(pixel_shape);
  }

  std::size_t size() const { return static_cast<std::size_t>(samples * channels); }
  /// Elements of a group.
  double count() const {
    const std::int64_t elements = groups > 0 ? channels / groups * pixels : 0;
    return static_cast<double>(std::max<std::int64_t>(elements, 1));
  }

  /// Calls body(sample, group, first channel of the sample, end of its channels): places in
  /// PerChannel.
  template <class Body>
  void for_each_group(const Body& body) const {
    if (groups == 0) return;
    const std::int64_t width = channels / groups;
    for (std::int64_t i = 0; i < samples * groups; ++i) {
      body(i / groups, i % groups, static_cast<std::size_t>(i * width),
           static_cast<std::size_t>((i + 1) * width));
    }
  }
};

// What the sums are made of: first of f, second of f * h.

/// f = h = x - shift
template <class T>
struct Deviations {
  T shift;
  void add(T x, T /*dy*/, double& first, double& second) const {
    const double deviation = double{x} - double{shift};
    first += deviation;
    second += deviation * deviation;
  }
};

/// f = dy, h = xhat
template <class T>
struct Slopes {
  T shift, scale;
  void add(T x, T dy, double& first, double& second) const {
    first += double{dy};
    second += double{dy * ((x - shift) * scale)};
  }
};

/// The sums of `rules`, one for each sample and channel, over the pixels of x and dy.
template <class T, class Rule>
PerChannel<Sums> sums_of(const Geometry& g, const View& x, const View& dy,
                         const PerChannel<Rule>& rules) {
  PerChannel<Sums> sums(g.size());
  const LoopNest<2> nest(g.pixel_shape,
                         {x.strides.slice(2, x.ndim()), dy.strides.slice(2, dy.ndim())});
  const std::int64_t x_step = nest.inner_stride(0);
  const std::int64_t dy_step = nest.inner_stride(1);
  const bool channels_inside = x.strides[1] == 1 && dy.strides[1] == 1 && g.channels > 1;
  for_each_channel_block(
      g.samples, g.channels, g.pixels,
      [&](std::int64_t sample, std::int64_t first, std::int64_t end) {
        const T* xs = x.ptr<T>() + sample * x.strides[0] + first * x.strides[1];
        const T* dys = dy.ptr<T>() + sample * dy.strides[0] + first * dy.strides[1];
        const auto place = static_cast<std::size_t>(sample * g.channels + first);
        const auto channels = static_cast<std::size_t>(end - first);
        const Rule* const rule = rules.data() + place;
        Sums* const sum = sums.data() + place;
        if (channels_inside) {
          double firsts[kChannelBlock] = {};
          double seconds[kChannelBlock] = {};
          walk_rows(nest, 0, g.pixels, [&](const auto& at, std::int64_t count) {
            for (std::int64_t i = 0; i < count; ++i) {
              const T* px = xs + at[0] + i * x_step;
              const T* pdy = dys + at[1] + i * dy_step;
              for (std::size_t c = 0; c < channels; ++c) {
                rule[c].add(px[c], pdy[c], firsts[c], seconds[c]);
              }
            }
          });
          for (std::size_t c = 0; c < channels; ++c) sum[c] = {firsts[c], seconds[c]};
          return;
        }
        for (std::size_t c = 0; c < channels; ++c) {
          double firsts[kLanes] = {};
          double seconds[kLanes] = {};
          const Rule own = rule[c];
          walk_rows(nest, 0, g.pixels, [&](const auto& at, std::int64_t count) {
            const T* px = xs + static_cast<std::int64_t>(c) * x.strides[1] + at[0];
            const T* pdy = dys + static_cast<std::int64_t>(c) * dy.strides[1] + at[1];
            std::int64_t i = 0;
            for (; i + kLanes <= count; i += kLanes) {
              for (std::int64_t k = 0; k < kLanes; ++k) {
                own.add(px[(i + k) * x_step], pdy[(i + k) * dy_step], firsts[k], seconds[k]);
              }
            }
            for (; i < count; ++i) own.add(px[i * x_step], pdy[i * dy_step], firsts[0], seconds[0]);
          });
          for (std::int64_t k = 0; k < kLanes; ++k) {
            sum[c].first += firsts[k];
            sum[c].second += seconds[k];
          }
        }
      });
  return sums;
}

/// out = rule(x, dy) with the rule of each sample and channel.
template <class T, class Rule>
void map(const Geometry& g, const View& x, const View& dy, const View& out,
         const PerChannel<Rule>& rules) {
  Strides places = Dims::filled(x.ndim(), 0);
  places[0] = g.channels;
  places[1] = 1;
  const LoopNest<4> nest(x.shape, {out.strides, x.strides, dy.strides, places});
  const std::int64_t out_step = nest.inner_stride(0);
  const std::int64_t x_step = nest.inner_stride(1);
  const std::int64_t dy_step = nest.inner_stride(2);
  const std::int64_t rule_step = nest.inner_stride(3);
  const bool dense = out_step == 1 && x_step == 1 && dy_step == 1;
  for_each_row(nest, kGrain, [&](const auto& at, std::int64_t count) {
    T* o = out.ptr<T>() + at[0];
    const T* px = x.ptr<T>() + at[1];
    const T* pdy = dy.ptr<T>() + at[2];
    const Rule* rule = rules.data() + at[3];
    if (dense && rule_step == 0) {
      const Rule same = *rule;
      for (std::int64_t i = 0; i < count; ++i) o[i] = same(px[i], pdy[i]);
    } else if (dense && rule_step == 1) {
      for (std::int64_t i = 0; i < count; ++i) o[i] = rule[i](px[i], pdy[i]);
    } else {
      for (std::int64_t i = 0; i < count; ++i) {
        o[i * out_step] = rule[i * rule_step](px[i * x_step], pdy[i * dy_step]);
      }
    }
  });
}

template <class T>
struct Normalize {
  T shift, scale, bias;
  T operator()(T x, T /*dy*/) const { return (x - shift) * scale + bias; }
};

template <class T>
struct InputGradient {
  T shift, slope, scale, constant;
  T operator()(T x, T dy) const { return dy * scale + (x - shift) * slope + constant; }
};

/// An element of a parameter [C], or what stands for it.
template <class T>
T element(const View& parameter, std::int64_t channel, T otherwise) {
  return parameter.defined ? parameter.ptr<T>()[channel * parameter.strides[0]] : otherwise;
}

template <class T>
T& element(const View& statistic, std::int64_t sample, std::int64_t group) {
  return statistic.ptr<T>()[sample * statistic.strides[0] + group * statistic.strides[1]];
}

template <class T>
void forward(const View& x, const View& weight, const View& bias, double eps, const View& y,
             const View& mean, const View& rstd) {
  const Geometry g(x, mean);
  // Deviations from some element of the channel: sums of squares then lose nothing to a large mean.
  PerChannel<Deviations<T>> around(g.size());
  if (g.pixels > 0) {
    for (std::size_t i = 0; i < g.size(); ++i) {
      const std::int64_t sample = static_cast<std::int64_t>(i) / g.channels;
      const std::int64_t channel = static_cast<std::int64_t>(i) % g.channels;
      around[i].shift = x.ptr<T>()[sample * x.strides[0] + channel * x.strides[1]];
    }
  }
  const PerChannel<Sums> sums = sums_of<T>(g, x, x, around);
  PerChannel<Normalize<T>> rules(g.size());
  const auto pixels = static_cast<double>(std::max<std::int64_t>(g.pixels, 1));
  g.for_each_group(
      [&](std::int64_t sample, std::int64_t group, std::size_t first, std::size_t end) {
        const auto mean_of = [&](std::size_t i) {
          return double{around[i].shift} + sums[i].first / pixels;
        };
        double total = 0;
        for (std::size_t i = first; i < end; ++i)
          total += mean_of(i) * static_cast<double>(g.pixels);
        const double center = total / g.count();
        double squares = 0;
        for (std::size_t i = first; i < end; ++i) {
          const double inside = sums[i].second - sums[i].first * sums[i].first / pixels;
          squares += std::max(inside, 0.0) +
                     static_cast<double>(g.pixels) * (mean_of(i) - center) * (mean_of(i) - center);
        }
        const T shift = static_cast<T>(center);
        const T scale = static_cast<T>(1 / std::sqrt(squares / g.count() + eps));
        element<T>(mean, sample, group) = shift;
        element<T>(rstd, sample, group) = scale;
        for (std::size_t i = first; i < end; ++i) {
          const std::int64_t channel = static_cast<std::int64_t>(i) % g.channels;
          rules[i] = {shift, scale * element<T>(weight, channel, T{1}),
                      element<T>(bias, channel, T{0})};
        }
      });
  map<T>(g, x, x, y, rules);
}

template <class T>
void backward(const View& dy, const View& x, const View& mean, const View& rstd, const View& weight,
              const View& dx, const View& dweight, const View& dbias) {
  const Geometry g(x, mean);
  PerChannel<Slopes<T>> xhat(g.size());
  g.for_each_group(
      [&](std::int64_t sample, std::int64_t group, std::size_t first, std::size_t end) {
        const Slopes<T> own{element<T>(mean, sample, group), element<T>(rstd, sample, group)};
        std::fill(xhat.begin() + static_cast<std::ptrdiff_t>(first),
                  xhat.begin() + static_cast<std::ptrdiff_t>(end), own);
      });
  const PerChannel<Sums> sums = sums_of<T>(g, x, dy, xhat);
  for (std::int64_t channel = 0; channel < g.channels; ++channel) {
    Sums all;
    for (std::int64_t sample = 0; sample < g.samples; ++sample) {
      const Sums& own = sums[static_cast<std::size_t>(sample * g.channels + channel)];
      all = {all.first + own.first, all.second + own.second};
    }
    if (dweight.defined) {
      dweight.ptr<T>()[channel * dweight.strides[0]] = static_cast<T>(all.second);
    }
    if (dbias.defined) dbias.ptr<T>()[channel * dbias.strides[0]] = static_cast<T>(all.first);
  }
  if (!dx.defined) return;
  PerChannel<InputGradient<T>> rules(g.size());
  g.for_each_group([&](std::int64_t /*sample*/, std::int64_t /*group*/, std::size_t first,
                       std::size_t end) {
    const auto weight_of = [&](std::size_t i) {
      return element<T>(weight, static_cast<std::int64_t>(i) % g.channels, T{1});
    };
    Sums group;
    for (std::size_t i = first; i < end; ++i) {
      group.first += double{weight_of(i)} * sums[i].first;
      group.second += double{weight_of(i)} * sums[i].second;
    }
    for (std::size_t i = first; i < end; ++i) {
      const double scale = double{xhat[i].scale};
      rules[i] = {xhat[i].shift, static_cast<T>(-scale * scale * group.second / g.count()),
                  xhat[i].scale * weight_of(i), static_cast<T>(-scale * group.first / g.count())};
    }
  });
  map<T>(g, x, dy, dx, rules);
}

}  // namespace

void group_norm_forward(ExecContext&, const View& x, const View& weight, const View& bias,
                        double eps, const View& y, const View& mean, const View& rstd) {
  visit_float("group_norm", x.dtype,
              [&](auto zero) { forward<decltype(zero)>(x, weight, bias, eps, y, mean, rstd); });
}

void group_norm_backward(ExecContext&, const View& dy, const View& x, const View& mean,
                         const View& rstd, const View& weight, const View& dx, const View& dweight,
                         const View& dbias) {
  visit_float("group_norm backward", x.dtype, [&](auto zero) {
    backward<decltype(zero)>(dy, x, mean, rstd, weight, dx, dweight, dbias);
  });
}

}  // namespace minidl::kernels::cpu
