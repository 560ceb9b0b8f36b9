// Turns an elementwise walk over strided operands into the fewest, longest loops.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "minidl/kernels/common/shape.h"

namespace minidl::kernels {

/// Loop extents (outermost first) and, per operand, the stride of each loop. Loops are ordered by
/// the strides of operand 0 (normally the output, so that it is written in memory order), loops of
/// extent 1 are dropped, and neighbours that every operand walks as one are merged: dense operands
/// of equal layout end in a single loop. There is always at least one loop.
template <int N>
struct LoopNest {
  Shape extents;
  std::array<Strides, N> strides;

  LoopNest(const Shape& shape, const std::array<Strides, N>& operands) {
    Dims order;
    for (int dim = 0; dim < shape.size(); ++dim) {
      if (shape[dim] == 1) continue;
      int position = order.size();
      while (position > 0 &&
             operands[0][static_cast<int>(order[position - 1])] < operands[0][dim]) {
        --position;
      }
      order.insert(position, dim);
    }
    for (const std::int64_t entry : order) {
      const int dim = static_cast<int>(entry);
      if (!extents.empty() && mergeable(operands, dim, shape[dim])) {
        extents.back() *= shape[dim];
        for (int i = 0; i < N; ++i) at(i).back() = operands[static_cast<std::size_t>(i)][dim];
      } else {
        extents.push_back(shape[dim]);
        for (int i = 0; i < N; ++i) at(i).push_back(operands[static_cast<std::size_t>(i)][dim]);
      }
    }
    if (extents.empty()) {
      extents.push_back(1);
      for (int i = 0; i < N; ++i) at(i).push_back(1);
    }
  }

  std::int64_t inner_extent() const { return extents.back(); }
  std::int64_t outer_extent() const {
    return numel(extents) / std::max<std::int64_t>(inner_extent(), 1);
  }
  std::int64_t inner_stride(int operand) const {
    return strides[static_cast<std::size_t>(operand)].back();
  }

  /// Element offsets of every operand at the start of the inner loop number `outer`.
  std::array<std::int64_t, N> offsets(std::int64_t outer) const {
    std::array<std::int64_t, N> result{};
    for (int loop = extents.size() - 2; loop >= 0; --loop) {
      const std::int64_t index = outer % extents[loop];
      outer /= extents[loop];
      for (std::size_t i = 0; i < N; ++i) result[i] += index * strides[i][loop];
    }
    return result;
  }

 private:
  Strides& at(int i) { return strides[static_cast<std::size_t>(i)]; }

  bool mergeable(const std::array<Strides, N>& operands, int dim, std::int64_t extent) {
    for (int i = 0; i < N; ++i) {
      if (at(i).back() != extent * operands[static_cast<std::size_t>(i)][dim]) return false;
    }
    return true;
  }
};

}  // namespace minidl::kernels
