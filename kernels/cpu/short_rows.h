// Rows of f16 and bf16 elements as f32, a piece at a time: the pieces stay in the L1 cache.
#pragma once

#include <array>
#include <type_traits>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/view.h"

namespace minidl::kernels::cpu {

inline constexpr std::int64_t kPiece = 1024;
using Piece = std::array<float, kPiece>;

/// Calls use(S{}) with the 16-bit type of `dtype`.
template <class Use>
void visit_16_bit(DType dtype, const Use& use) {
  if (dtype == bf16) return use(BFloat16{});
  if (dtype == f16) return use(Half{});
  fail("operands of {} and of 16 bits do not mix", dtype);
}

/// piece[i] = the element `offset + i * step` of a 16-bit view.
inline void load_piece(const View& view, std::int64_t offset, std::int64_t step, std::int64_t count,
                       Piece& piece) {
  visit_16_bit(view.dtype, [&](auto zero) {
    const auto* from = view.ptr<decltype(zero)>() + offset;
    if (step == 1) {
      for (std::int64_t i = 0; i < count; ++i) piece[static_cast<std::size_t>(i)] = from[i];
    } else {
      for (std::int64_t i = 0; i < count; ++i) piece[static_cast<std::size_t>(i)] = from[i * step];
    }
  });
}

/// The element `offset + i * step` of a 16-bit view = piece[i], rounded.
inline void store_piece(const Piece& piece, std::int64_t count, const View& view,
                        std::int64_t offset, std::int64_t step) {
  visit_16_bit(view.dtype, [&](auto zero) {
    using S = decltype(zero);
    S* to = view.ptr<S>() + offset;
    if (step == 1) {
      for (std::int64_t i = 0; i < count; ++i) to[i] = S(piece[static_cast<std::size_t>(i)]);
    } else {
      for (std::int64_t i = 0; i < count; ++i) {
        to[i * step] = S(piece[static_cast<std::size_t>(i)]);
      }
    }
  });
}

}  // namespace minidl::kernels::cpu
