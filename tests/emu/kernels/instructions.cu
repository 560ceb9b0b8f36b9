// Every wrapper of bulk copies, TMA im2col, TMA reductions and fp8 wgmma once, for nvcc: their
// assembly strings are nothing that the emulator sees. Nobody launches these.
#include "minidl/kernels/cuda/launch.cuh"
#include "minidl/kernels/cuda/ptx/bulk_copy.cuh"
#include "minidl/kernels/cuda/ptx/cluster.cuh"
#include "minidl/kernels/cuda/ptx/mbarrier.cuh"
#include "minidl/kernels/cuda/ptx/tensor_map.cuh"
#include "minidl/kernels/cuda/ptx/tma_im2col.cuh"
#include "minidl/kernels/cuda/ptx/tma_reduce.cuh"
#include "minidl/kernels/cuda/ptx/wgmma.cuh"

namespace emu_kernels {

using namespace minidl::kernels::cuda::ptx;

struct Coordinates {
  std::int32_t c[5];
  std::uint16_t offsets[3];
};

template <int Rank>
__device__ void load_and_reduce(const CUtensorMap* map, const Coordinates& at, std::uint32_t shared,
                                std::uint32_t barrier) {
  std::int32_t c[Rank];
  for (int i = 0; i < Rank; ++i) c[i] = at.c[i];
  if constexpr (Rank >= 3) {
    std::uint16_t offsets[Rank - 2];
    for (int i = 0; i < Rank - 2; ++i) offsets[i] = at.offsets[i];
    tma_load_im2col(shared, map, barrier, c, offsets);
    tma_load_im2col_multicast(shared, map, barrier, c, offsets, 3);
  }
  tma_reduce_add(map, shared, c);
  tma_reduce_min(map, shared, c);
  tma_reduce_max(map, shared, c);
}

__global__ void tensor_instructions(const __grid_constant__ CUtensorMap map, Coordinates at) {
  MINIDL_DYNAMIC_SHARED(unsigned char, s);
  MINIDL_SHARED(std::uint64_t, object, [1]);
  const std::uint32_t shared = shared_address(s), barrier = shared_address(object);
  load_and_reduce<1>(&map, at, shared, barrier);
  load_and_reduce<2>(&map, at, shared, barrier);
  load_and_reduce<3>(&map, at, shared, barrier);
  load_and_reduce<4>(&map, at, shared, barrier);
  load_and_reduce<5>(&map, at, shared, barrier);
  bulk_commit();
  bulk_wait<0>();
}

__global__ void bulk_instructions(const void* in, void* out) {
  MINIDL_DYNAMIC_SHARED(unsigned char, s);
  MINIDL_SHARED(std::uint64_t, object, [1]);
  const std::uint32_t shared = shared_address(s), barrier = shared_address(object);
  bulk_load(shared, in, 1024, barrier);
  bulk_copy_cluster(cluster_address(shared, 1), shared, 1024, cluster_address(barrier, 1));
  bulk_store(out, shared, 1024);
  bulk_commit();
  bulk_wait<0>();
}

template <class T, int Registers>
__global__ void __launch_bounds__(128) products(std::uint64_t a, std::uint64_t b, float* out) {
#if MINIDL_HAS_SM90A
  float d[Registers] = {};
  std::uint32_t fragment[4] = {};
  wgmma_fence();
  wgmma<T>(d, a, b, false);
  wgmma<T>(d, fragment, b, true);
  wgmma_commit();
  wgmma_wait_all(d);
  for (int i = 0; i < Registers; ++i) out[i * 128 + threadIdx.x] = d[i];
#else
  __trap();
#endif
}

using E4m3 = __nv_fp8_e4m3;
using E5m2 = __nv_fp8_e5m2;
using E4m3E5m2 = Mixed<E4m3, E5m2>;
using E5m2E4m3 = Mixed<E5m2, E4m3>;

#define EMU_PRODUCTS_OF(T, registers) \
  template __global__ void products<T, registers>(std::uint64_t, std::uint64_t, float*);
#define EMU_PRODUCTS(registers)        \
  EMU_PRODUCTS_OF(E4m3, registers)     \
  EMU_PRODUCTS_OF(E5m2, registers)     \
  EMU_PRODUCTS_OF(E4m3E5m2, registers) \
  EMU_PRODUCTS_OF(E5m2E4m3, registers)

EMU_PRODUCTS(4)
EMU_PRODUCTS(8)
EMU_PRODUCTS(16)
EMU_PRODUCTS(32)
EMU_PRODUCTS(48)
EMU_PRODUCTS(64)
EMU_PRODUCTS(96)
EMU_PRODUCTS(128)

}  // namespace emu_kernels
