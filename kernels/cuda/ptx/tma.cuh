// TMA, compute capability 9.0: one thread copies a box of a tensor between global and shared
// memory. Boxes are described by a tensor map (tensor_map.cuh), a const __grid_constant__ parameter
// of the kernel. Coordinates count elements, innermost first. Boxes may end outside of the tensor,
// those of loads also begin there: loads give zeros, stores leave it out. The shared address is
// aligned to 128 bytes, with a swizzle of 32, 64 or 128 bytes to 256, 512 or 1024.
#pragma once

#include <cuda.h>

#include "minidl/kernels/cuda/ptx/common.cuh"

namespace minidl::kernels::cuda::ptx {

/// Loads a box; the barrier gets its bytes, those outside of the tensor included.
template <int Rank>
MINIDL_DEVICE void tma_load(std::uint32_t to, const CUtensorMap* map, std::uint32_t barrier,
                            const std::int32_t (&c)[Rank]) {
  static_assert(Rank >= 1 && Rank <= 5);
  if constexpr (Rank == 1) {
    MINIDL_PTX_90(emu::tma_load(to, map, barrier, Rank, c, 0),
                  "cp.async.bulk.tensor.1d.shared::cluster.global.mbarrier::complete_tx::bytes "
                  "[%0], [%1, {%3}], [%2];" ::"r"(to),
                  "l"(map), "r"(barrier), "r"(c[0])
                  : "memory");
  } else if constexpr (Rank == 2) {
    MINIDL_PTX_90(emu::tma_load(to, map, barrier, Rank, c, 0),
                  "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
                  "[%0], [%1, {%3, %4}], [%2];" ::"r"(to),
                  "l"(map), "r"(barrier), "r"(c[0]), "r"(c[1])
                  : "memory");
  } else if constexpr (Rank == 3) {
    MINIDL_PTX_90(emu::tma_load(to, map, barrier, Rank, c, 0),
                  "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes "
                  "[%0], [%1, {%3, %4, %5}], [%2];" ::"r"(to),
                  "l"(map), "r"(barrier), "r"(c[0]), "r"(c[1]), "r"(c[2])
                  : "memory");
  } else if constexpr (Rank == 4) {
    MINIDL_PTX_90(emu::tma_load(to, map, barrier, Rank, c, 0),
                  "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes "
                  "[%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(to),
                  "l"(map), "r"(barrier), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3])
                  : "memory");
  } else if constexpr (Rank == 5) {
    MINIDL_PTX_90(emu::tma_load(to, map, barrier, Rank, c, 0),
                  "cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes "
                  "[%0], [%1, {%3, %4, %5, %6, %7}], [%2];" ::"r"(to),
                  "l"(map), "r"(barrier), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]), "r"(c[4])
                  : "memory");
  }
}

/// Loads a box into the same place of every block of the cluster whose bit is set in `blocks`; the
/// barrier at the same place of each gets the bytes.
template <int Rank>
MINIDL_DEVICE void tma_load_multicast(std::uint32_t to, const CUtensorMap* map,
                                      std::uint32_t barrier, const std::int32_t (&c)[Rank],
                                      std::uint16_t blocks) {
  static_assert(Rank >= 1 && Rank <= 5);
  if constexpr (Rank == 1) {
    MINIDL_PTX_90(emu::tma_load(to, map, barrier, Rank, c, blocks),
                  "cp.async.bulk.tensor.1d.shared::cluster.global.mbarrier::complete_tx::bytes."
                  "multicast::cluster [%0], [%1, {%4}], [%2], %3;" ::"r"(to),
                  "l"(map), "r"(barrier), "h"(blocks), "r"(c[0])
                  : "memory");
  } else if constexpr (Rank == 2) {
    MINIDL_PTX_90(emu::tma_load(to, map, barrier, Rank, c, blocks),
                  "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes."
                  "multicast::cluster [%0], [%1, {%4, %5}], [%2], %3;" ::"r"(to),
                  "l"(map), "r"(barrier), "h"(blocks), "r"(c[0]), "r"(c[1])
                  : "memory");
  } else if constexpr (Rank == 3) {
    MINIDL_PTX_90(emu::tma_load(to, map, barrier, Rank, c, blocks),
                  "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes."
                  "multicast::cluster [%0], [%1, {%4, %5, %6}], [%2], %3;" ::"r"(to),
                  "l"(map), "r"(barrier), "h"(blocks), "r"(c[0]), "r"(c[1]), "r"(c[2])
                  : "memory");
  } else if constexpr (Rank == 4) {
    MINIDL_PTX_90(emu::tma_load(to, map, barrier, Rank, c, blocks),
                  "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes."
                  "multicast::cluster [%0], [%1, {%4, %5, %6, %7}], [%2], %3;" ::"r"(to),
                  "l"(map), "r"(barrier), "h"(blocks), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3])
                  : "memory");
  } else if constexpr (Rank == 5) {
    MINIDL_PTX_90(emu::tma_load(to, map, barrier, Rank, c, blocks),
                  "cp.async.bulk.tensor.5d.shared::cluster.global.mbarrier::complete_tx::bytes."
                  "multicast::cluster [%0], [%1, {%4, %5, %6, %7, %8}], [%2], %3;" ::"r"(to),
                  "l"(map), "r"(barrier), "h"(blocks), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]),
                  "r"(c[4])
                  : "memory");
  }
}

/// Stores a box. What threads wrote there needs a fence_proxy_async() of the writers and a barrier
/// before; the source stays untouched until the issuing thread has waited.
template <int Rank>
MINIDL_DEVICE void tma_store(const CUtensorMap* map, std::uint32_t from,
                             const std::int32_t (&c)[Rank]) {
  static_assert(Rank >= 1 && Rank <= 5);
  if constexpr (Rank == 1) {
    MINIDL_PTX_90(
        emu::tma_store(map, from, Rank, c),
        "cp.async.bulk.tensor.1d.global.shared::cta.bulk_group [%0, {%2}], [%1];" ::"l"(map),
        "r"(from), "r"(c[0])
        : "memory");
  } else if constexpr (Rank == 2) {
    MINIDL_PTX_90(
        emu::tma_store(map, from, Rank, c),
        "cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%2, %3}], [%1];" ::"l"(map),
        "r"(from), "r"(c[0]), "r"(c[1])
        : "memory");
  } else if constexpr (Rank == 3) {
    MINIDL_PTX_90(
        emu::tma_store(map, from, Rank, c),
        "cp.async.bulk.tensor.3d.global.shared::cta.bulk_group [%0, {%2, %3, %4}], [%1];" ::"l"(
            map),
        "r"(from), "r"(c[0]), "r"(c[1]), "r"(c[2])
        : "memory");
  } else if constexpr (Rank == 4) {
    MINIDL_PTX_90(
        emu::tma_store(map, from, Rank, c),
        "cp.async.bulk.tensor.4d.global.shared::cta.bulk_group [%0, {%2, %3, %4, %5}], [%1];" ::"l"(
            map),
        "r"(from), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3])
        : "memory");
  } else if constexpr (Rank == 5) {
    MINIDL_PTX_90(
        emu::tma_store(map, from, Rank, c),
        "cp.async.bulk.tensor.5d.global.shared::cta.bulk_group [%0, {%2, %3, %4, %5, %6}], [%1];" ::
            "l"(map),
        "r"(from), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]), "r"(c[4])
        : "memory");
  }
}

/// Makes a group of the thread's stores since the last commit.
MINIDL_DEVICE void bulk_commit() {
  MINIDL_PTX_90(emu::bulk_commit(), "cp.async.bulk.commit_group;" ::: "memory");
}

/// Waits until all but the N latest groups have written everything.
template <int N>
MINIDL_DEVICE void bulk_wait() {
  MINIDL_PTX_90(emu::bulk_wait(N), "cp.async.bulk.wait_group %0;" ::"n"(N) : "memory");
}

/// Waits until all but the N latest groups have read shared memory, which may then be written
/// again.
template <int N>
MINIDL_DEVICE void bulk_wait_read() {
  MINIDL_PTX_90(emu::bulk_wait_read(N), "cp.async.bulk.wait_group.read %0;" ::"n"(N) : "memory");
}

}  // namespace minidl::kernels::cuda::ptx
