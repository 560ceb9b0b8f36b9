// TMA im2col, compute capability 9.0: one thread loads the operand of a convolution as a matrix of
// pixels by channels. The tensor is N(D)(H)WC, its map made by make_im2col_map (tensor_map.cuh).
// Pixels are the places of the bounding box, W first, then H, D and N: from the coordinates on as
// many as the map says, each moved by the offsets, zero where that lies outside of the tensor.
//
// Convolution with stride, padding and dilation, output pixel q along W: element stride = stride,
// lower corner -padding, upper corner padding - (k - 1) dilation, coordinate q stride - padding,
// and for tap s the offset s dilation. Its gradient by the input, stride 1, input pixel w of W from
// output gradients of width Q: lower corner padding - (k - 1) dilation, upper corner lower + W - Q,
// coordinate lower + w, for tap s the offset (k - 1 - s) dilation.
#pragma once

#include <cuda.h>

#include "minidl/kernels/cuda/ptx/common.cuh"

namespace minidl::kernels::cuda::ptx {

/// Coordinates are C, W(, H(, D)), N; those of pixels lie in the bounding box. Offsets are W(, H(,
/// D)): below 2^16, 2^8 or 2^5 with rank 3, 4 or 5. The barrier gets the bytes of all pixels, those
/// outside of the tensor included.
template <int Rank>
MINIDL_DEVICE void tma_load_im2col(std::uint32_t to, const CUtensorMap* map, std::uint32_t barrier,
                                   const std::int32_t (&c)[Rank],
                                   const std::uint16_t (&offsets)[Rank - 2]) {
  static_assert(Rank >= 3 && Rank <= 5);
  if constexpr (Rank == 3) {
    MINIDL_PTX_90(emu::tma_load_im2col(to, map, barrier, Rank, c, offsets, 0),
                  "cp.async.bulk.tensor.3d.shared::cluster.global.im2col.mbarrier::complete_tx::"
                  "bytes [%0], [%1, {%3, %4, %5}], [%2], {%6};" ::"r"(to),
                  "l"(map), "r"(barrier), "r"(c[0]), "r"(c[1]), "r"(c[2]), "h"(offsets[0])
                  : "memory");
  } else if constexpr (Rank == 4) {
    MINIDL_PTX_90(emu::tma_load_im2col(to, map, barrier, Rank, c, offsets, 0),
                  "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::"
                  "bytes [%0], [%1, {%3, %4, %5, %6}], [%2], {%7, %8};" ::"r"(to),
                  "l"(map), "r"(barrier), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]),
                  "h"(offsets[0]), "h"(offsets[1])
                  : "memory");
  } else if constexpr (Rank == 5) {
    MINIDL_PTX_90(emu::tma_load_im2col(to, map, barrier, Rank, c, offsets, 0),
                  "cp.async.bulk.tensor.5d.shared::cluster.global.im2col.mbarrier::complete_tx::"
                  "bytes [%0], [%1, {%3, %4, %5, %6, %7}], [%2], {%8, %9, %10};" ::"r"(to),
                  "l"(map), "r"(barrier), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]), "r"(c[4]),
                  "h"(offsets[0]), "h"(offsets[1]), "h"(offsets[2])
                  : "memory");
  }
}

/// Into the same place of every block of the cluster whose bit is set in `blocks`.
template <int Rank>
MINIDL_DEVICE void tma_load_im2col_multicast(std::uint32_t to, const CUtensorMap* map,
                                             std::uint32_t barrier, const std::int32_t (&c)[Rank],
                                             const std::uint16_t (&offsets)[Rank - 2],
                                             std::uint16_t blocks) {
  static_assert(Rank >= 3 && Rank <= 5);
  if constexpr (Rank == 3) {
    MINIDL_PTX_90(emu::tma_load_im2col(to, map, barrier, Rank, c, offsets, blocks),
                  "cp.async.bulk.tensor.3d.shared::cluster.global.im2col.mbarrier::complete_tx::"
                  "bytes.multicast::cluster [%0], [%1, {%4, %5, %6}], [%2], {%7}, %3;" ::"r"(to),
                  "l"(map), "r"(barrier), "h"(blocks), "r"(c[0]), "r"(c[1]), "r"(c[2]),
                  "h"(offsets[0])
                  : "memory");
  } else if constexpr (Rank == 4) {
    MINIDL_PTX_90(
        emu::tma_load_im2col(to, map, barrier, Rank, c, offsets, blocks),
        "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes."
        "multicast::cluster [%0], [%1, {%4, %5, %6, %7}], [%2], {%8, %9}, %3;" ::"r"(to),
        "l"(map), "r"(barrier), "h"(blocks), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]),
        "h"(offsets[0]), "h"(offsets[1])
        : "memory");
  } else if constexpr (Rank == 5) {
    MINIDL_PTX_90(
        emu::tma_load_im2col(to, map, barrier, Rank, c, offsets, blocks),
        "cp.async.bulk.tensor.5d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes."
        "multicast::cluster [%0], [%1, {%4, %5, %6, %7, %8}], [%2], {%9, %10, %11}, %3;" ::"r"(to),
        "l"(map), "r"(barrier), "h"(blocks), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]), "r"(c[4]),
        "h"(offsets[0]), "h"(offsets[1]), "h"(offsets[2])
        : "memory");
  }
}

}  // namespace minidl::kernels::cuda::ptx
