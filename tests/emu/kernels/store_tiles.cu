// Tiles written to shared memory and stored by TMA.
#include <cuda.h>

#include "kernels.h"
#include "minidl/kernels/cuda/launch.cuh"
#include "minidl/kernels/cuda/ptx/mbarrier.cuh"
#include "minidl/kernels/cuda/ptx/tensor_map.cuh"
#include "minidl/kernels/cuda/ptx/tma.cuh"

namespace emu_kernels {
namespace {

using namespace minidl::kernels::cuda::ptx;

// 32 x 32 tiles through one buffer.
__global__ void __launch_bounds__(128)
    store_tiles_kernel(const __grid_constant__ CUtensorMap map, int row, int column, int tiles) {
  MINIDL_DYNAMIC_SHARED(float, tile);
  for (int t = 0; t < tiles; ++t) {
    for (int i = static_cast<int>(threadIdx.x); i < 1024; i += static_cast<int>(blockDim.x)) {
      tile[i] = static_cast<float>(t * 1024 + i);
    }
    fence_proxy_async();
    __syncthreads();
    if (threadIdx.x == 0) {
      tma_store(&map, shared_address(tile), {column, row + 32 * t});
      bulk_commit();
      bulk_wait_read<0>();
    }
    __syncthreads();
  }
}

}  // namespace

void store_tiles(float* c, int rows, int columns, int row, int column, int tiles) {
  const auto size = [](int x) { return static_cast<std::uint64_t>(x); };
  const CUtensorMap map = minidl::kernels::cuda::make_tensor_map({"c",
                                                                  c,
                                                                  CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
                                                                  4,
                                                                  {size(columns), size(rows)},
                                                                  {size(columns) * 4},
                                                                  {32, 32},
                                                                  0});
  minidl::kernels::cuda::launch({"store_tiles", dim3(1), dim3(128), 4096}, store_tiles_kernel, map,
                                row, column, tiles);
}

}  // namespace emu_kernels
