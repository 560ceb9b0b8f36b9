// The classic scheme: the result is cut into tiles, one task each. A task walks along k in steps;
// for each it packs its part of a and b into slivers that fit the cache and are read in order, and
// multiplies slivers in registers.

#include "minidl/kernels/cpu/gemm.h"

#include <algorithm>
#include <array>

#include "minidl/kernels/common/parallel.h"

namespace minidl::kernels::cpu {
namespace {

constexpr std::int64_t kTileM = 64;
constexpr std::int64_t kTileN = 128;
constexpr std::int64_t kTileK = 256;
constexpr std::int64_t kSliver = 4;  // 4 x 4 sums fill the sixteen SSE registers to the half

std::int64_t round_up(std::int64_t value, std::int64_t step) {
  return (value + step - 1) / step * step;
}

/// Packs `lines` lines of `depth` elements into slivers of kSliver interleaved lines, the last one
/// filled up with zeros.
void pack(const double* source, std::int64_t line_stride, std::int64_t depth_stride,
          std::int64_t lines, std::int64_t depth, double* packed) {
  for (std::int64_t first = 0; first < lines; first += kSliver) {
    const std::int64_t valid = std::min(kSliver, lines - first);
    const double* sliver = source + first * line_stride;
    for (std::int64_t p = 0; p < depth; ++p, packed += kSliver) {
      for (std::int64_t i = 0; i < kSliver; ++i) {
        packed[i] = i < valid ? sliver[i * line_stride + p * depth_stride] : 0.0;
      }
    }
  }
}

using Block = std::array<double, kSliver * kSliver>;

/// The product of a sliver of a and one of b.
Block multiply(const double* a, const double* b, std::int64_t depth) {
  Block sums{};
  for (std::int64_t p = 0; p < depth; ++p, a += kSliver, b += kSliver) {
    for (std::size_t i = 0; i < kSliver; ++i) {
      for (std::size_t j = 0; j < kSliver; ++j) sums[i * kSliver + j] += a[i] * b[j];
    }
  }
  return sums;
}

void add_block(const Block& sums, std::int64_t rows, std::int64_t cols, double* c,
               std::int64_t c_row_stride) {
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < cols; ++j) {
      c[i * c_row_stride + j] += sums[static_cast<std::size_t>(i * kSliver + j)];
    }
  }
}

}  // namespace

void gemm(ExecContext& ctx, std::int64_t m, std::int64_t n, std::int64_t k, const Matrix& a,
          const Matrix& b, double* c, std::int64_t c_row_stride, bool accumulate) {
  const std::int64_t tiles_n = (n + kTileN - 1) / kTileN;
  const std::int64_t tiles = (m + kTileM - 1) / kTileM * tiles_n;
  const std::int64_t step_k = std::min(k, kTileK);
  const std::int64_t packed_a_size = round_up(std::min(m, kTileM), kSliver) * step_k;
  const std::int64_t packed_b_size = round_up(std::min(n, kTileN), kSliver) * step_k;

  const auto compute_tile = [&](std::int64_t tile, double* packed_a, double* packed_b) {
    const std::int64_t row = tile / tiles_n * kTileM;
    const std::int64_t col = tile % tiles_n * kTileN;
    const std::int64_t rows = std::min(kTileM, m - row);
    const std::int64_t cols = std::min(kTileN, n - col);
    double* c_tile = c + row * c_row_stride + col;
    if (!accumulate) {
      for (std::int64_t i = 0; i < rows; ++i) std::fill_n(c_tile + i * c_row_stride, cols, 0.0);
    }
    for (std::int64_t p = 0; p < k; p += kTileK) {
      const std::int64_t depth = std::min(kTileK, k - p);
      pack(a.data + row * a.row_stride + p * a.col_stride, a.row_stride, a.col_stride, rows, depth,
           packed_a);
      pack(b.data + p * b.row_stride + col * b.col_stride, b.col_stride, b.row_stride, cols, depth,
           packed_b);
      for (std::int64_t j = 0; j < cols; j += kSliver) {
        for (std::int64_t i = 0; i < rows; i += kSliver) {
          add_block(multiply(packed_a + i * depth, packed_b + j * depth, depth),
                    std::min(kSliver, rows - i), std::min(kSliver, cols - j),
                    c_tile + i * c_row_stride + j, c_row_stride);
        }
      }
    }
  };

  const std::int64_t tile_work =
      std::max<std::int64_t>(std::min(m, kTileM) * std::min(n, kTileN) * k, 1);
  parallel_for(tiles, (1 << 16) / tile_work, [&](std::int64_t begin, std::int64_t end) {
    const Buffer packed =
        ctx.workspace(static_cast<std::size_t>(packed_a_size + packed_b_size) * sizeof(double));
    for (std::int64_t tile = begin; tile < end; ++tile) {
      compute_tile(tile, packed.as<double>(), packed.as<double>() + packed_a_size);
    }
  });
}

}  // namespace minidl::kernels::cpu
