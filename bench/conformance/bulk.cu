// Bulk copies without a tensor map, TMA reductions, NaN outside of a tensor.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "device.cuh"
#include "minidl/kernels/cuda/ptx/bulk_copy.cuh"
#include "minidl/kernels/cuda/ptx/cluster.cuh"
#include "minidl/kernels/cuda/ptx/mbarrier.cuh"
#include "minidl/kernels/cuda/ptx/tensor_map.cuh"
#include "minidl/kernels/cuda/ptx/tma_reduce.cuh"

namespace minidl::conformance {
namespace {

using namespace kernels::cuda::ptx;
using kernels::cuda::launch;

// in -> shared memory -> the other block of the cluster -> out; plus one on the way.
__global__ void exchange(const std::uint32_t* in, std::uint32_t* out, std::uint32_t half) {
  MINIDL_DYNAMIC_SHARED(std::uint32_t, s);  // a half of the own, a half from the other block
  MINIDL_SHARED(std::uint64_t, objects, [2]);
  const std::uint32_t rank = cluster_rank(), other = 1 - rank, words = half / 4;
  const std::uint32_t loaded = shared_address(objects), sent = loaded + 8;
  if (threadIdx.x == 0) {
    mbarrier_init(loaded, 1);
    mbarrier_init(sent, 1);
    fence_mbarrier_init();
    mbarrier_arrive_expect(loaded, half);
    mbarrier_arrive_expect(sent, half);
  }
  __syncwarp();
  cluster_sync();
  if (threadIdx.x == 0) bulk_load(shared_address(s), in + rank * words, half, loaded);
  mbarrier_wait(loaded, 0);
  for (std::uint32_t i = threadIdx.x; i < words; i += blockDim.x) ++s[i];
  fence_proxy_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    bulk_copy_cluster(cluster_address(shared_address(s) + half, other), shared_address(s), half,
                      cluster_address(sent, other));
  }
  mbarrier_wait(sent, 0);
  __syncwarp();
  if (threadIdx.x == 0) {
    bulk_store(out + rank * words, shared_address(s) + half, half);
    bulk_commit();
    bulk_wait<0>();
  }
  __syncwarp();
  cluster_sync();
}

enum class Reduction { add, min, max };

// Three blocks reduce into one box of 3 rows of 64 bytes, which juts out of a tensor of 9 rows of
// 48 bytes to the right.
template <Reduction Operation>
__global__ void reduce_boxes(const __grid_constant__ CUtensorMap map, int column,
                             const std::uint32_t* in) {
  MINIDL_DYNAMIC_SHARED(std::uint32_t, s);
  for (std::uint32_t i = threadIdx.x; i < 48; i += blockDim.x) s[i] = in[blockIdx.x * 48 + i];
  fence_proxy_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    const std::int32_t c[2] = {column, 4};
    if constexpr (Operation == Reduction::add) tma_reduce_add(&map, shared_address(s), c);
    if constexpr (Operation == Reduction::min) tma_reduce_min(&map, shared_address(s), c);
    if constexpr (Operation == Reduction::max) tma_reduce_max(&map, shared_address(s), c);
    bulk_commit();
    bulk_wait_read<0>();
  }
}

template <class T, Reduction Operation>
void add_reduction(Cases& cases, const char* type, CUtensorMapDataType data_type) {
  constexpr const char* kOperation = Operation == Reduction::add   ? "add "
                                     : Operation == Reduction::min ? "min "
                                                                   : "max ";
  cases.push_back(
      {std::string("tma reduce ") + kOperation + type, 0, [data_type] {
         constexpr std::uint32_t kColumns = 48 / sizeof(T), kBox = 64 / sizeof(T);
         const Buffer<T> out(numbers<T>(9 * kColumns, 15, true));
         const Buffer<std::uint32_t> in(as_words(numbers<T>(9 * kBox, 16, true)));
         const CUtensorMap map = kernels::cuda::make_tensor_map(
             {"out", out.get(), data_type, sizeof(T), {kColumns, 9}, {48}, {kBox, 3}, 0});
         launch(blocks("reduce", 3, 32, 192), reduce_boxes<Operation>, map,
                static_cast<int>(16 / sizeof(T)), in.get());
         return out.words();
       }});
}

__global__ void load_with_nan(const __grid_constant__ CUtensorMap map, std::uint32_t* out) {
  MINIDL_DYNAMIC_SHARED(std::uint32_t, s);
  MINIDL_SHARED(std::uint64_t, object, [1]);
  const std::uint32_t barrier = shared_address(object);
  if (threadIdx.x == 0) {
    mbarrier_init(barrier, 1);
    fence_mbarrier_init();
    mbarrier_arrive_expect(barrier, 192);
    tma_load(shared_address(s), &map, barrier, {-1, 2});
  }
  __syncthreads();
  mbarrier_wait(barrier, 0);
  for (std::uint32_t i = threadIdx.x; i < 48; i += blockDim.x) out[i] = s[i];
}

template <class T>
void add_nan_fill(Cases& cases, const char* type, CUtensorMapDataType data_type) {
  cases.push_back(
      {std::string("tma load, NaN outside, ") + type, 0, [data_type] {
         constexpr std::uint32_t kBox = 64 / sizeof(T);
         const Buffer<T> in(numbers<T>(3 * 16, 17, true));
         const Buffer<std::uint32_t> out(48);
         const CUtensorMap map = kernels::cuda::make_tensor_map(
             {"in", in.get(), data_type, sizeof(T), {10, 3}, {16 * sizeof(T)}, {kBox, 3}, 0, true});
         launch(blocks("nan fill", 1, 32, 192), load_with_nan, map, out.get());
         return out.words();
       }});
}

}  // namespace

void add_bulk(Cases& cases) {
  for (const std::uint32_t bytes : {32U, 480U, 8192U}) {
    cases.push_back({"bulk copies of " + std::to_string(bytes / 2) + " bytes", 0, [bytes] {
                       const Buffer<std::uint32_t> in(noise(bytes / 4, 18)), out(bytes / 4);
                       launch(blocks("exchange", 2, 64, bytes, 2), exchange, in.get(), out.get(),
                              bytes / 2);
                       return out.words();
                     }});
  }
  const auto reductions = [&](auto zero, const char* type, CUtensorMapDataType data_type) {
    using T = decltype(zero);
    add_reduction<T, Reduction::add>(cases, type, data_type);
    add_reduction<T, Reduction::min>(cases, type, data_type);
    add_reduction<T, Reduction::max>(cases, type, data_type);
  };
  reductions(std::int32_t{}, "s32", CU_TENSOR_MAP_DATA_TYPE_INT32);
  reductions(std::uint32_t{}, "u32", CU_TENSOR_MAP_DATA_TYPE_UINT32);
  reductions(__half{}, "f16", CU_TENSOR_MAP_DATA_TYPE_FLOAT16);
  reductions(__nv_bfloat16{}, "bf16", CU_TENSOR_MAP_DATA_TYPE_BFLOAT16);
  add_reduction<float, Reduction::add>(cases, "f32", CU_TENSOR_MAP_DATA_TYPE_FLOAT32);
  add_nan_fill<__half>(cases, "f16", CU_TENSOR_MAP_DATA_TYPE_FLOAT16);
  add_nan_fill<__nv_bfloat16>(cases, "bf16", CU_TENSOR_MAP_DATA_TYPE_BFLOAT16);
  add_nan_fill<float>(cases, "f32", CU_TENSOR_MAP_DATA_TYPE_FLOAT32);
}

}  // namespace minidl::conformance
