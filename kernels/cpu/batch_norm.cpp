// Every kernel walks over the rows (a sample's pixel) and, within one, over the channels: dense in
// NHWC, so that the innermost loops vectorise. Sums are taken tile by tile in the tensor's dtype,
// a tile being so short that rounding stays small, and tiles are merged in f64.

#include "minidl/kernels/batch_norm.h"

#include <algorithm>
#include <array>
#include <memory>
#include <type_traits>

#include "minidl/kernels/common/batch_norm_checks.h"
#include "minidl/kernels/common/loop_nest.h"
#include "minidl/kernels/common/parallel.h"

namespace minidl::kernels::cpu {
namespace {

constexpr std::int64_t kTileRows = 16;
constexpr std::int64_t kTileChannels = 256;
constexpr std::int64_t kMinBlockRows = 64;
constexpr std::int64_t kMaxBlocks = 256;
constexpr std::int64_t kMinTaskSize = 1 << 14;  // elements, below which a thread is not worth it

template <class T>
using ChannelTile = std::array<T, kTileChannels>;

/// [N, C, …] operands of one shape as rows of channels.
template <int N>
struct Rows {
  std::int64_t channels;
  std::array<std::int64_t, N> channel_strides;
  LoopNest<N> nest;

  explicit Rows(const std::array<const View*, N>& operands)
      : channels(operands[0]->size(1)),
        channel_strides(),
        nest(without_channels(operands[0]->shape), row_strides(operands)) {
    for (std::size_t i = 0; i < N; ++i) {
      channel_strides[i] = channels == 1 ? 1 : operands[i]->strides[1];
    }
  }

  std::int64_t count() const { return numel(nest.extents); }
  bool dense_channels() const {
    return std::all_of(channel_strides.begin(), channel_strides.end(),
                       [](std::int64_t stride) { return stride == 1; });
  }

  /// Calls body(offsets) with the element offsets of rows begin..end-1 in every operand.
  template <class Body>
  void for_each(std::int64_t begin, std::int64_t end, const Body& body) const {
    while (begin < end) {
      const std::int64_t first = begin % nest.inner_extent();
      const std::int64_t stop = std::min(end - begin + first, nest.inner_extent());
      std::array<std::int64_t, N> offsets = nest.offsets(begin / nest.inner_extent());
      for (int i = 0; i < N; ++i)
        offsets[static_cast<std::size_t>(i)] += first * nest.inner_stride(i);
      for (std::int64_t row = first; row < stop; ++row) {
        body(offsets);
        for (int i = 0; i < N; ++i) offsets[static_cast<std::size_t>(i)] += nest.inner_stride(i);
      }
      begin += stop - first;
    }
  }

 private:
  static Dims without_channels(Dims dims) {
    dims.erase(1);
    return dims;
  }
  static std::array<Strides, N> row_strides(const std::array<const View*, N>& operands) {
    std::array<Strides, N> strides;
    for (std::size_t i = 0; i < N; ++i) strides[i] = without_channels(operands[i]->strides);
    return strides;
  }
};

template <class T>
T at(const View& vector, std::int64_t i) {
  return vector.ptr<T>()[i * vector.strides[0]];
}

using DenseStride = std::integral_constant<std::int64_t, 1>;

/// Calls `f` with the operands' channel strides, as compile-time ones where all are dense.
template <int N, class F>
void with_channel_strides(const Rows<N>& rows, const F& f) {
  if (rows.dense_channels()) {
    f(std::array<DenseStride, N>{});
  } else {
    f(rows.channel_strides);
  }
}

/// How the rows are cut for sums: by their number only, never by the number of threads.
struct Blocks {
  std::int64_t rows;
  std::int64_t rows_per_block;
  std::int64_t count;

  explicit Blocks(std::int64_t row_count)
      : rows(row_count),
        rows_per_block(std::max(kMinBlockRows, (rows + kMaxBlocks - 1) / kMaxBlocks)),
        count((rows + rows_per_block - 1) / rows_per_block) {}

  std::int64_t begin(std::int64_t block) const { return block * rows_per_block; }
  std::int64_t end(std::int64_t block) const {
    return std::min(begin(block) + rows_per_block, rows);
  }

  /// Calls body(block, first channel, end of channels) in parallel.
  template <class Body>
  void for_each(std::int64_t channels, const Body& body) const {
    const std::int64_t chunks = (channels + kTileChannels - 1) / kTileChannels;
    const std::int64_t task = rows_per_block * std::clamp<std::int64_t>(channels, 1, kTileChannels);
    parallel_for(count * chunks, kMinTaskSize / task, [&](std::int64_t from, std::int64_t to) {
      for (std::int64_t i = from; i < to; ++i) {
        const std::int64_t first = i % chunks * kTileChannels;
        body(i / chunks, first, std::min(first + kTileChannels, channels));
      }
    });
  }
};

/// Count, mean and sum of squared deviations of a set of values.
struct Moments {
  double count = 0;
  double mean = 0;
  double squares = 0;

  /// Joins two sets (Chan, Golub and LeVeque 1979).
  void merge(const Moments& other) {
    const double total = count + other.count;
    const double delta = other.mean - mean;
    mean += delta * (other.count / total);
    squares += other.squares + delta * delta * (count * other.count / total);
    count = total;
  }
};

/// Two per-channel sums of a block of rows.
struct Sums {
  double dy = 0;
  double dy_deviation = 0;
};

/// A `Value` per block and channel, merged over the blocks in order.
template <class Value>
class Partials {
 public:
  Partials(const ExecContext& ctx, const Blocks& blocks, std::int64_t channels)
      : blocks_(blocks.count),
        channels_(channels),
        memory_(ctx.workspace(static_cast<std::size_t>(blocks_ * channels_) * sizeof(Value))) {
    std::uninitialized_fill_n(memory_.template as<Value>(), blocks_ * channels_, Value{});
  }

  Value* block(std::int64_t i) const { return memory_.template as<Value>() + i * channels_; }

  template <class Merge>
  Value merged(std::int64_t channel, const Merge& merge) const {
    Value result;
    for (std::int64_t i = 0; i < blocks_; ++i) merge(result, block(i)[channel]);
    return result;
  }

 private:
  std::int64_t blocks_;
  std::int64_t channels_;
  Buffer memory_;
};

/// Adds rows begin..end-1 to the moments of channels first..first+channels-1. Values are taken
/// relative to the tile's first row, which belongs to the tile: squares then lose at most a factor
/// of kTileRows in relative precision, however large the mean.
template <class T, class Stride>
void add_tile(const Rows<1>& rows, const T* x, Stride stride, std::int64_t begin, std::int64_t end,
              std::int64_t first, std::int64_t channels, Moments* moments) {
  ChannelTile<T> sum;
  ChannelTile<T> squares;
  std::fill_n(sum.begin(), channels, T{0});
  std::fill_n(squares.begin(), channels, T{0});
  const T* reference = nullptr;
  rows.for_each(begin, end, [&](const auto& offsets) {
    const T* row = x + offsets[0] + first * stride;
    if (reference == nullptr) reference = row;
    for (std::int64_t c = 0; c < channels; ++c) {
      const auto i = static_cast<std::size_t>(c);
      const T deviation = row[c * stride] - reference[c * stride];
      sum[i] += deviation;
      squares[i] += deviation * deviation;
    }
  });
  const auto count = static_cast<double>(end - begin);
  for (std::int64_t c = 0; c < channels; ++c) {
    const auto i = static_cast<std::size_t>(c);
    const double mean = static_cast<double>(sum[i]) / count;
    const double tile_squares =
        static_cast<double>(squares[i]) - mean * static_cast<double>(sum[i]);
    moments[c].merge(
        {count, static_cast<double>(reference[c * stride]) + mean, std::max(tile_squares, 0.0)});
  }
}

template <class T>
void stats(ExecContext& ctx, const Rows<1>& rows, const View& x, const View& mean,
           const View& variance) {
  const Blocks blocks(rows.count());
  const Partials<Moments> partials(ctx, blocks, rows.channels);
  with_channel_strides(rows, [&](const auto& strides) {
    const auto stride = strides[0];
    blocks.for_each(rows.channels, [&](std::int64_t block, std::int64_t first, std::int64_t end) {
      for (std::int64_t row = blocks.begin(block); row < blocks.end(block); row += kTileRows) {
        add_tile(rows, x.ptr<const T>(), stride, row, std::min(row + kTileRows, blocks.end(block)),
                 first, end - first, partials.block(block) + first);
      }
    });
  });
  for (std::int64_t c = 0; c < rows.channels; ++c) {
    const Moments all =
        partials.merged(c, [](Moments& to, const Moments& from) { to.merge(from); });
    mean.ptr<T>()[c * mean.strides[0]] = static_cast<T>(all.mean);
    variance.ptr<T>()[c * variance.strides[0]] =
        static_cast<T>(all.count > 0 ? all.squares / all.count : 0.0);
  }
}

/// Dense per-channel numbers that an elementwise pass reads, `N` vectors of them.
template <class T, int N>
class Coefficients {
 public:
  Coefficients(const ExecContext& ctx, std::int64_t channels)
      : channels_(channels),
        memory_(ctx.workspace(static_cast<std::size_t>(N * channels) * sizeof(T))) {}

  T* operator[](int i) const { return memory_.template as<T>() + i * channels_; }

 private:
  std::int64_t channels_;
  Buffer memory_;
};

template <class T>
void apply(ExecContext& ctx, const Rows<2>& rows, const View& x, const View& mean,
           const View& inv_std, const View& weight, const View& bias, const View& y) {
  const Coefficients<T, 3> coefficients(ctx, rows.channels);
  T* const shift = coefficients[0];
  T* const scale = coefficients[1];
  T* const offset = coefficients[2];
  for (std::int64_t c = 0; c < rows.channels; ++c) {
    shift[c] = at<T>(mean, c);
    scale[c] = weight.defined ? at<T>(inv_std, c) * at<T>(weight, c) : at<T>(inv_std, c);
    offset[c] = bias.defined ? at<T>(bias, c) : T{0};
  }
  with_channel_strides(rows, [&](const auto& strides) {
    const auto ys = strides[0];
    const auto xs = strides[1];
    const std::int64_t channels = rows.channels;
    parallel_for(rows.count(), kMinTaskSize / channels, [&](std::int64_t begin, std::int64_t end) {
      rows.for_each(begin, end, [&](const auto& offsets) {
        T* to = y.ptr<T>() + offsets[0];
        const T* from = x.ptr<const T>() + offsets[1];
        for (std::int64_t c = 0; c < channels; ++c) {
          to[c * ys] = (from[c * xs] - shift[c]) * scale[c] + offset[c];
        }
      });
    });
  });
}

/// Adds rows begin..end-1 to the sums of channels first..first+channels-1.
template <class T, class Stride>
void add_tile(const Rows<2>& rows, const T* dy, Stride dys, const T* x, Stride xs, const T* mean,
              std::int64_t begin, std::int64_t end, std::int64_t first, std::int64_t channels,
              Sums* sums) {
  ChannelTile<T> sum_dy;
  ChannelTile<T> sum_dy_deviation;
  std::fill_n(sum_dy.begin(), channels, T{0});
  std::fill_n(sum_dy_deviation.begin(), channels, T{0});
  rows.for_each(begin, end, [&](const auto& offsets) {
    const T* dy_row = dy + offsets[0] + first * dys;
    const T* x_row = x + offsets[1] + first * xs;
    for (std::int64_t c = 0; c < channels; ++c) {
      const auto i = static_cast<std::size_t>(c);
      const T gradient = dy_row[c * dys];
      sum_dy[i] += gradient;
      sum_dy_deviation[i] += gradient * (x_row[c * xs] - mean[first + c]);
    }
  });
  for (std::int64_t c = 0; c < channels; ++c) {
    const auto i = static_cast<std::size_t>(c);
    sums[c].dy += static_cast<double>(sum_dy[i]);
    sums[c].dy_deviation += static_cast<double>(sum_dy_deviation[i]);
  }
}

template <class T>
void backward_reduce(ExecContext& ctx, const Rows<2>& rows, const View& dy, const View& x,
                     const View& mean, const View& inv_std, const View& sum_dy,
                     const View& sum_dy_xhat) {
  const Blocks blocks(rows.count());
  const Partials<Sums> partials(ctx, blocks, rows.channels);
  const Coefficients<T, 1> coefficients(ctx, rows.channels);
  T* const shift = coefficients[0];
  for (std::int64_t c = 0; c < rows.channels; ++c) shift[c] = at<T>(mean, c);
  with_channel_strides(rows, [&](const auto& strides) {
    blocks.for_each(rows.channels, [&](std::int64_t block, std::int64_t first, std::int64_t end) {
      for (std::int64_t row = blocks.begin(block); row < blocks.end(block); row += kTileRows) {
        add_tile(rows, dy.ptr<const T>(), strides[0], x.ptr<const T>(), strides[1],
                 static_cast<const T*>(shift), row, std::min(row + kTileRows, blocks.end(block)),
                 first, end - first, partials.block(block) + first);
      }
    });
  });
  for (std::int64_t c = 0; c < rows.channels; ++c) {
    const Sums all = partials.merged(c, [](Sums& to, const Sums& from) {
      to.dy += from.dy;
      to.dy_deviation += from.dy_deviation;
    });
    sum_dy.ptr<T>()[c * sum_dy.strides[0]] = static_cast<T>(all.dy);
    sum_dy_xhat.ptr<T>()[c * sum_dy_xhat.strides[0]] =
        static_cast<T>(all.dy_deviation * static_cast<double>(at<T>(inv_std, c)));
  }
}

template <class T>
void backward_apply(ExecContext& ctx, const Rows<3>& rows, const View& dy, const View& x,
                    const View& mean, const View& inv_std, const View& weight, const View& sum_dy,
                    const View& sum_dy_xhat, double count, const View& dx) {
  const Coefficients<T, 4> coefficients(ctx, rows.channels);
  T* const shift = coefficients[0];
  T* const scale = coefficients[1];
  T* const mean_dy = coefficients[2];
  T* const slope = coefficients[3];
  for (std::int64_t c = 0; c < rows.channels; ++c) {
    const T inverse = at<T>(inv_std, c);
    shift[c] = at<T>(mean, c);
    scale[c] = weight.defined ? inverse * at<T>(weight, c) : inverse;
    mean_dy[c] = static_cast<T>(static_cast<double>(at<T>(sum_dy, c)) / count);
    slope[c] = inverse * static_cast<T>(static_cast<double>(at<T>(sum_dy_xhat, c)) / count);
  }
  with_channel_strides(rows, [&](const auto& strides) {
    const auto dxs = strides[0];
    const auto dys = strides[1];
    const auto xs = strides[2];
    const std::int64_t channels = rows.channels;
    parallel_for(rows.count(), kMinTaskSize / channels, [&](std::int64_t begin, std::int64_t end) {
      rows.for_each(begin, end, [&](const auto& offsets) {
        T* to = dx.ptr<T>() + offsets[0];
        const T* dy_row = dy.ptr<const T>() + offsets[1];
        const T* x_row = x.ptr<const T>() + offsets[2];
        for (std::int64_t c = 0; c < channels; ++c) {
          const T deviation = x_row[c * xs] - shift[c];
          to[c * dxs] = scale[c] * (dy_row[c * dys] - mean_dy[c] - deviation * slope[c]);
        }
      });
    });
  });
}

}  // namespace

void batch_norm_stats(ExecContext& ctx, const View& x, const View& mean, const View& variance) {
  constexpr const char* op = "batch_norm";
  check_images(op, {&x});
  const Rows<1> rows({&x});
  check_per_channel(op, x, {&mean, &variance});
  visit_float(op, x.dtype, [&](auto t) { stats<decltype(t)>(ctx, rows, x, mean, variance); });
}

void batch_norm_apply(ExecContext& ctx, const View& x, const View& mean, const View& inv_std,
                      const View& weight, const View& bias, const View& y) {
  constexpr const char* op = "batch_norm";
  check_images(op, {&y, &x});
  const Rows<2> rows({&y, &x});
  check_per_channel(op, x, {&mean, &inv_std, &weight, &bias});
  if (x.numel() == 0) return;
  visit_float(op, x.dtype,
              [&](auto t) { apply<decltype(t)>(ctx, rows, x, mean, inv_std, weight, bias, y); });
}

void batch_norm_backward_reduce(ExecContext& ctx, const View& dy, const View& x, const View& mean,
                                const View& inv_std, const View& sum_dy, const View& sum_dy_xhat) {
  constexpr const char* op = "batch_norm backward";
  check_images(op, {&dy, &x});
  const Rows<2> rows({&dy, &x});
  check_per_channel(op, x, {&mean, &inv_std, &sum_dy, &sum_dy_xhat});
  visit_float(op, x.dtype, [&](auto t) {
    backward_reduce<decltype(t)>(ctx, rows, dy, x, mean, inv_std, sum_dy, sum_dy_xhat);
  });
}

void batch_norm_backward_apply(ExecContext& ctx, const View& dy, const View& x, const View& mean,
                               const View& inv_std, const View& weight, const View& sum_dy,
                               const View& sum_dy_xhat, double count, const View& dx) {
  constexpr const char* op = "batch_norm backward";
  check_images(op, {&dx, &dy, &x});
  const Rows<3> rows({&dx, &dy, &x});
  check_per_channel(op, x, {&mean, &inv_std, &weight, &sum_dy, &sum_dy_xhat});
  if (x.numel() == 0) return;
  visit_float(op, x.dtype, [&](auto t) {
    backward_apply<decltype(t)>(ctx, rows, dy, x, mean, inv_std, weight, sum_dy, sum_dy_xhat, count,
                                dx);
  });
}

}  // namespace minidl::kernels::cpu
