// TMA reductions, compute capability 9.0: one thread combines a box of shared memory with one of a
// tensor in global memory, each element atomically (relaxed, gpu scope). The element type is the
// tensor map's: add has u32, s32, u64, f32, f16 and bf16, min and max have u32, s32, u64, s64, f16
// and bf16. Several blocks that add floats to one element do so in any order.
//
// As of stores: the box begins at no negative coordinate and what lies outside of the tensor is
// left out; fence_proxy_async() and a barrier before, bulk_commit() and bulk_wait or bulk_wait_read
// (tma.cuh) after.
#pragma once

#include "minidl/kernels/cuda/ptx/tma.cuh"

namespace minidl::kernels::cuda::ptx {

#define MINIDL_TMA_REDUCE(op, kind)                                                  \
  template <int Rank>                                                                \
  MINIDL_DEVICE void tma_reduce_##op(const CUtensorMap* map, std::uint32_t from,     \
                                     const std::int32_t(&c)[Rank]) {                 \
    static_assert(Rank >= 1 && Rank <= 5);                                           \
    if constexpr (Rank == 1) {                                                       \
      MINIDL_PTX_90(emu::tma_reduce(emu::Reduction::kind, map, from, Rank, c),       \
                    "cp.reduce.async.bulk.tensor.1d.global.shared::cta." #op         \
                    ".tile.bulk_group [%0, {%2}], [%1];" ::"l"(map),                 \
                    "r"(from), "r"(c[0])                                             \
                    : "memory");                                                     \
    } else if constexpr (Rank == 2) {                                                \
      MINIDL_PTX_90(emu::tma_reduce(emu::Reduction::kind, map, from, Rank, c),       \
                    "cp.reduce.async.bulk.tensor.2d.global.shared::cta." #op         \
                    ".tile.bulk_group [%0, {%2, %3}], [%1];" ::"l"(map),             \
                    "r"(from), "r"(c[0]), "r"(c[1])                                  \
                    : "memory");                                                     \
    } else if constexpr (Rank == 3) {                                                \
      MINIDL_PTX_90(emu::tma_reduce(emu::Reduction::kind, map, from, Rank, c),       \
                    "cp.reduce.async.bulk.tensor.3d.global.shared::cta." #op         \
                    ".tile.bulk_group [%0, {%2, %3, %4}], [%1];" ::"l"(map),         \
                    "r"(from), "r"(c[0]), "r"(c[1]), "r"(c[2])                       \
                    : "memory");                                                     \
    } else if constexpr (Rank == 4) {                                                \
      MINIDL_PTX_90(emu::tma_reduce(emu::Reduction::kind, map, from, Rank, c),       \
                    "cp.reduce.async.bulk.tensor.4d.global.shared::cta." #op         \
                    ".tile.bulk_group [%0, {%2, %3, %4, %5}], [%1];" ::"l"(map),     \
                    "r"(from), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3])            \
                    : "memory");                                                     \
    } else if constexpr (Rank == 5) {                                                \
      MINIDL_PTX_90(emu::tma_reduce(emu::Reduction::kind, map, from, Rank, c),       \
                    "cp.reduce.async.bulk.tensor.5d.global.shared::cta." #op         \
                    ".tile.bulk_group [%0, {%2, %3, %4, %5, %6}], [%1];" ::"l"(map), \
                    "r"(from), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]), "r"(c[4]) \
                    : "memory");                                                     \
    }                                                                                \
  }

/// global = global op shared.
MINIDL_TMA_REDUCE(add, kAdd)
MINIDL_TMA_REDUCE(min, kMin)
MINIDL_TMA_REDUCE(max, kMax)

#undef MINIDL_TMA_REDUCE

}  // namespace minidl::kernels::cuda::ptx
