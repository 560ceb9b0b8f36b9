// ldmatrix, stmatrix and mma.sync. Lane l belongs to group g = l / 4 and has place t = l % 4 in it;
// a row of a fragment's 8x8 matrix belongs to a group (PTX ISA, "Matrix Fragments").
#include <cuda_fp16.h>

#include <cmath>
#include <cstring>

#include "number.h"
#include "state.h"

namespace emu {

float f16_to_float(std::uint16_t bits) {
  static const std::vector<float> table = [] {
    std::vector<float> values(1 << 16);
    for (unsigned i = 0; i < values.size(); ++i) {
      __half_raw raw;
      raw.x = static_cast<std::uint16_t>(i);
      values[i] = __half2float(__half(raw));
    }
    return values;
  }();
  return table[bits];
}

// "FP8 formats for deep learning", Micikevicius et al. 2022: e5m2 is the upper byte of an f16, e4m3
// has no infinities, and one NaN of each sign.
float fp8_to_float(Type type, std::uint8_t bits) {
  if (type == Type::kE5m2) return f16_to_float(static_cast<std::uint16_t>(bits << 8));
  static const std::vector<float> table = [] {
    std::vector<float> values(128);
    for (int i = 0; i < 127; ++i) {
      const int exponent = i >> 3, mantissa = i & 7;
      values[static_cast<std::size_t>(i)] =
          exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                        : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
    }
    values[127] = NAN;
    return values;
  }();
  return bits < 128 ? table[bits] : -table[bits - 128U];
}

namespace {

struct MatrixMove {
  std::uint32_t* registers;
  std::uint32_t address;
  unsigned matrices;
  bool transposed;
};

constexpr unsigned kRowBytes = 16;

// Row `row` of matrix i, whose address comes from lane 8 i + row.
char* row_at(const Lanes& lanes, unsigned i, unsigned row, const char* what) {
  const auto* lane = lanes.get<MatrixMove>(8 * i + row);
  return shared_at(*me().block, lane->address, kRowBytes, kRowBytes, what);
}

void require_agreement(const Lanes& lanes, const char* what) {
  const auto* first = lanes.get<MatrixMove>(0);
  for (unsigned l = 0; l < kWarpLanes; ++l) {
    const auto* lane = lanes.get<MatrixMove>(l);
    if (lane == nullptr) fail("%s in a partial warp", what);
    if (lane->matrices != first->matrices || lane->transposed != first->transposed) {
      fail("%s: lanes disagree on its form", what);
    }
  }
}

// The 16-bit element that lane l holds in half h of its register of a matrix: (row, column).
struct Place {
  unsigned row, column;
};
Place place(unsigned l, unsigned h, bool transposed) {
  const Place p{l / 4, 2 * (l % 4) + h};
  return transposed ? Place{p.column, p.row} : p;
}

}  // namespace

void ldmatrix(std::uint32_t* to, unsigned matrices, bool transposed, std::uint32_t address) {
  MatrixMove mine{to, address, matrices, transposed};
  if (me().lane < 8 * matrices) {
    on_read(shared_at(*me().block, address, kRowBytes, kRowBytes, "ldmatrix"), kRowBytes);
  }
  warp_collective("ldmatrix", ~0U, &mine, [](Lanes& lanes) {
    require_agreement(lanes, "ldmatrix");
    const auto* first = lanes.get<MatrixMove>(0);
    for (unsigned i = 0; i < first->matrices; ++i) {
      std::uint16_t matrix[8][8];
      for (unsigned row = 0; row < 8; ++row) {
        std::memcpy(matrix[row], row_at(lanes, i, row, "ldmatrix"), kRowBytes);
      }
      for (unsigned l = 0; l < kWarpLanes; ++l) {
        std::uint32_t value = 0;
        for (unsigned h = 0; h < 2; ++h) {
          const Place p = place(l, h, first->transposed);
          value |= std::uint32_t{matrix[p.row][p.column]} << 16 * h;
        }
        lanes.get<MatrixMove>(l)->registers[i] = value;
      }
    }
  });
}

void stmatrix(std::uint32_t address, const std::uint32_t* from, unsigned matrices,
              bool transposed) {
  MatrixMove mine{const_cast<std::uint32_t*>(from), address, matrices, transposed};
  warp_collective("stmatrix", ~0U, &mine, [](Lanes& lanes) {
    require_agreement(lanes, "stmatrix");
    const auto* first = lanes.get<MatrixMove>(0);
    for (unsigned i = 0; i < first->matrices; ++i) {
      std::uint16_t matrix[8][8];
      for (unsigned l = 0; l < kWarpLanes; ++l) {
        const std::uint32_t value = lanes.get<MatrixMove>(l)->registers[i];
        for (unsigned h = 0; h < 2; ++h) {
          const Place p = place(l, h, first->transposed);
          matrix[p.row][p.column] = static_cast<std::uint16_t>(value >> 16 * h);
        }
      }
      for (unsigned row = 0; row < 8; ++row) {
        std::memcpy(row_at(lanes, i, row, "stmatrix"), matrix[row], kRowBytes);
      }
    }
  });
  // Which lane writes which row is the hardware's affair: the row's own lane, for the race checker.
  if (me().lane < 8 * matrices) {
    on_write(shared_at(*me().block, address, kRowBytes, kRowBytes, "stmatrix"), kRowBytes);
  }
}

namespace {

template <class Sum>
struct Mma {
  Type type;
  unsigned k;
  Sum* d;
  const std::uint32_t *a, *b;
};

constexpr unsigned kRows = 16, kColumns = 8, kMaxDepth = 32;

// Puts the elements of a lane's 32-bit registers into the matrices. A register holds `per` elements
// that are neighbours along k; register i of a is 8 rows down if i is odd, and 4 * per further
// along k for every second one.
template <class Sum>
void collect(const Mma<Sum>& lane, unsigned l, Sum (*a)[kMaxDepth], Sum (*b)[kColumns]) {
  const unsigned per = 4 / bytes_of(lane.type), bits = 32 / per, g = l / 4, t = l % 4;
  const auto element = [&](std::uint32_t word, unsigned h) {
    return static_cast<Sum>(to_float(lane.type, word >> bits * h & (~0U >> (32 - bits))));
  };
  for (unsigned i = 0; i < lane.k / (2 * per); ++i) {
    for (unsigned h = 0; h < per; ++h)
      a[g + i % 2 * 8][i / 2 * 4 * per + t * per + h] = element(lane.a[i], h);
  }
  for (unsigned i = 0; i < lane.k / (4 * per); ++i) {
    for (unsigned h = 0; h < per; ++h) b[i * 4 * per + t * per + h][g] = element(lane.b[i], h);
  }
}

template <class Sum>
void multiply(Lanes& lanes) {
  Sum a[kRows][kMaxDepth], b[kMaxDepth][kColumns], d[kRows][kColumns];
  const auto* first = lanes.get<Mma<Sum>>(0);
  for (unsigned l = 0; l < kWarpLanes; ++l) {
    const auto* lane = lanes.get<Mma<Sum>>(l);
    if (lane == nullptr) fail("mma in a partial warp");
    if (lane->type != first->type || lane->k != first->k) fail("mma: lanes disagree on its form");
    collect(*lane, l, a, b);
    for (unsigned i = 0; i < 4; ++i) d[l / 4 + i / 2 * 8][l % 4 * 2 + i % 2] = lane->d[i];
  }
  for (unsigned row = 0; row < kRows; ++row) {
    for (unsigned k = 0; k < first->k; ++k) {
      for (unsigned column = 0; column < kColumns; ++column) {
        d[row][column] += a[row][k] * b[k][column];
      }
    }
  }
  for (unsigned l = 0; l < kWarpLanes; ++l) {
    auto* lane = lanes.get<Mma<Sum>>(l);
    for (unsigned i = 0; i < 4; ++i) lane->d[i] = d[l / 4 + i / 2 * 8][l % 4 * 2 + i % 2];
  }
}

}  // namespace

void mma_m16n8(Type type, unsigned k, float* d, const std::uint32_t* a, const std::uint32_t* b) {
  Mma<float> mine{type, k, d, a, b};
  warp_collective("mma.sync", ~0U, &mine, multiply<float>);
}

void mma_m16n8k32_s8(std::int32_t* d, const std::uint32_t* a, const std::uint32_t* b) {
  Mma<std::int32_t> mine{Type::kS8, 32, d, a, b};
  warp_collective("mma.sync s8", ~0U, &mine, multiply<std::int32_t>);
}

}  // namespace emu
