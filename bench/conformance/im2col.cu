// TMA im2col loads: the pixels of convolutions and of their gradients, across edges and images. No
// two dimensions have the same size.
#include <utility>

#include "device.cuh"
#include "minidl/kernels/cuda/ptx/cluster.cuh"
#include "minidl/kernels/cuda/ptx/mbarrier.cuh"
#include "minidl/kernels/cuda/ptx/tensor_map.cuh"
#include "minidl/kernels/cuda/ptx/tma_im2col.cuh"

namespace minidl::conformance {
namespace {

using namespace kernels::cuda::ptx;
using kernels::cuda::launch;

struct Start {
  std::int32_t c[5];
  std::uint16_t offset[3];
};

// In a cluster of two, the first block loads for both.
template <int Rank, bool Multicast>
__global__ void load_pixels(const __grid_constant__ CUtensorMap map, Start start,
                            std::uint32_t bytes, std::uint32_t* out) {
  MINIDL_DYNAMIC_SHARED(std::uint32_t, s);
  MINIDL_SHARED(std::uint64_t, object, [1]);
  const std::uint32_t barrier = shared_address(object), words = bytes / 4 + 64;
  for (std::uint32_t i = threadIdx.x; i < words; i += blockDim.x) s[i] = 0xa5a5a5a5;
  if (threadIdx.x == 0) {
    mbarrier_init(barrier, 1);
    fence_mbarrier_init();
    mbarrier_arrive_expect(barrier, bytes);
  }
  fence_proxy_async();
  __syncthreads();
  if constexpr (Multicast) cluster_sync();
  if (threadIdx.x == 0 && (!Multicast || blockIdx.x == 0)) {
    std::int32_t c[Rank];
    std::uint16_t offsets[Rank - 2];
    for (int i = 0; i < Rank; ++i) c[i] = start.c[i];
    for (int i = 0; i < Rank - 2; ++i) offsets[i] = start.offset[i];
    if constexpr (Multicast) {
      tma_load_im2col_multicast(shared_address(s), &map, barrier, c, offsets, 3);
    } else {
      tma_load_im2col(shared_address(s), &map, barrier, c, offsets);
    }
  }
  mbarrier_wait(barrier, 0);
  for (std::uint32_t i = threadIdx.x; i < words; i += blockDim.x)
    out[blockIdx.x * words + i] = s[i];
  __syncthreads();
  if constexpr (Multicast) cluster_sync();
}

// Sizes are C, W(, H(, D)), N; the tensor has no gaps.
template <int Rank>
struct Pixels {
  const char* name;
  unsigned element, swizzle;
  std::uint64_t sizes[Rank];
  int lower[Rank - 2], upper[Rank - 2];
  std::uint32_t steps[Rank - 2];
  std::uint32_t channels, pixels;
  Start start;

  std::size_t tensor_bytes() const {
    std::size_t total = element;
    for (const std::uint64_t size : sizes) total *= size;
    return total;
  }

  CUtensorMap map(const void* base) const {
    std::uint64_t strides[Rank - 1] = {sizes[0] * element};
    for (int i = 1; i < Rank - 1; ++i) strides[i] = strides[i - 1] * sizes[i];
    return [&]<std::size_t... D, std::size_t... T, std::size_t... S>(
        std::index_sequence<D...>, std::index_sequence<T...>, std::index_sequence<S...>) {
      return kernels::cuda::make_im2col_map(
          {name,
           base,
           element == 2 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
           element,
           {sizes[D]...},
           {strides[T]...},
           {lower[S]...},
           {upper[S]...},
           {steps[S]...},
           channels,
           pixels,
           swizzle});
    }
    (std::make_index_sequence<Rank>{}, std::make_index_sequence<Rank - 1>{},
     std::make_index_sequence<Rank - 2>{});
  }
};

template <int Rank, bool Multicast = false>
void add_pixels(Cases& cases, const Pixels<Rank>& p) {
  cases.push_back({std::string("tma im2col ") + p.name, 0, [p] {
                     constexpr unsigned kBlocks = Multicast ? 2 : 1;
                     const std::uint32_t bytes = p.pixels * p.channels * p.element;
                     const Buffer<std::uint32_t> in(noise(p.tensor_bytes() / 4, 14)),
                         out(kBlocks * (bytes / 4 + 64));
                     launch(blocks(p.name, kBlocks, 64, bytes + 256, kBlocks),
                            load_pixels<Rank, Multicast>, p.map(in.get()), p.start, bytes,
                            out.get());
                     return out.words();
                   }});
}

}  // namespace

void add_im2col(Cases& cases) {
  add_pixels<3>(cases,
                {"rank 3, stride 3", 4, 32, {8, 20, 3}, {-2}, {-1}, {3}, 8, 16, {{0, -2, 0}, {1}}});
  using Image = Pixels<4>;
  for (const Image& p : {Image{"3 x 3, first tap",
                               4,
                               64,
                               {16, 7, 5, 3},
                               {-1, -1},
                               {-1, -1},
                               {1, 1},
                               16,
                               64,
                               {{0, -1, -1, 0}, {0, 0}}},
                         Image{"3 x 3, a middle tap, from a middle pixel",
                               4,
                               64,
                               {16, 7, 5, 3},
                               {-1, -1},
                               {-1, -1},
                               {1, 1},
                               16,
                               48,
                               {{0, 2, 1, 1}, {2, 1}}},
                         Image{"stride 2",
                               4,
                               128,
                               {32, 9, 6, 2},
                               {-1, -1},
                               {-1, -1},
                               {2, 2},
                               32,
                               32,
                               {{0, -1, -1, 0}, {2, 0}}},
                         Image{"unequal padding, dilation, stride",
                               4,
                               0,
                               {12, 11, 6, 2},
                               {-2, 0},
                               {-2, -1},
                               {1, 2},
                               4,
                               40,
                               {{8, -2, 0, 0}, {4, 1}}},
                         Image{"gradient by the input",
                               4,
                               32,
                               {8, 9, 5, 2},
                               {-1, -1},
                               {-1, 0},
                               {1, 1},
                               8,
                               64,
                               {{0, -1, -1, 0}, {1, 0}}},
                         Image{"behind the last image",
                               4,
                               0,
                               {4, 5, 3, 2},
                               {0, 0},
                               {0, 0},
                               {1, 1},
                               4,
                               40,
                               {{0, 0, 0, 1}, {0, 0}}},
                         Image{"channels behind the last",
                               4,
                               128,
                               {24, 6, 4, 2},
                               {0, -1},
                               {0, -1},
                               {1, 1},
                               32,
                               16,
                               {{8, 0, -1, 0}, {0, 2}}},
                         Image{"bf16, 64 of 128 channels",
                               2,
                               128,
                               {128, 14, 13, 2},
                               {-1, -1},
                               {-1, -1},
                               {1, 1},
                               64,
                               128,
                               {{64, -1, -1, 0}, {1, 2}}},
                         Image{"bf16, 64 B",
                               2,
                               64,
                               {32, 14, 13, 1},
                               {-1, -1},
                               {-1, -1},
                               {1, 1},
                               32,
                               128,
                               {{0, 3, 2, 0}, {0, 1}}}}) {
    add_pixels(cases, p);
  }
  add_pixels<4, true>(cases, {"multicast",
                              4,
                              64,
                              {16, 7, 5, 3},
                              {-1, -1},
                              {-1, -1},
                              {1, 1},
                              16,
                              64,
                              {{0, -1, -1, 0}, {2, 2}}});
  add_pixels<5>(cases, {"rank 5",
                        4,
                        0,
                        {8, 5, 4, 3, 2},
                        {-1, -1, 0},
                        {-1, -1, 0},
                        {1, 2, 1},
                        8,
                        48,
                        {{0, -1, -1, 0, 0}, {1, 2, 0}}});
}

}  // namespace minidl::conformance
