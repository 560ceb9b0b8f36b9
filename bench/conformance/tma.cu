// TMA boxes of every rank, swizzle and element size, inside the tensor and across its edges.
#include <cstdlib>
#include <utility>

#include "device.cuh"
#include "minidl/kernels/cuda/ptx/mbarrier.cuh"
#include "minidl/kernels/cuda/ptx/tensor_map.cuh"
#include "minidl/kernels/cuda/ptx/tma.cuh"

namespace minidl::conformance {
namespace {

using namespace kernels::cuda::ptx;
using kernels::cuda::launch;

struct Corner {
  std::int32_t c[5];
};

// Loads the box and shows 1 KiB behind it, too.
template <int Rank>
__global__ void load_box(const __grid_constant__ CUtensorMap map, Corner corner,
                         std::uint32_t bytes, std::uint32_t* out) {
  MINIDL_DYNAMIC_SHARED(std::uint32_t, s);
  MINIDL_SHARED(std::uint64_t, object, [1]);
  const std::uint32_t barrier = shared_address(object), words = bytes / 4 + 256;
  for (std::uint32_t i = threadIdx.x; i < words; i += blockDim.x) s[i] = 0xa5a5a5a5;
  if (threadIdx.x == 0) {
    mbarrier_init(barrier, 1);
    fence_mbarrier_init();
  }
  fence_proxy_async();
  __syncthreads();
  if (threadIdx.x == 0) {
    std::int32_t c[Rank];
    for (int i = 0; i < Rank; ++i) c[i] = corner.c[i];
    mbarrier_arrive_expect(barrier, bytes);
    tma_load(shared_address(s), &map, barrier, c);
  }
  mbarrier_wait(barrier, 0);
  for (std::uint32_t i = threadIdx.x; i < words; i += blockDim.x) out[i] = s[i];
}

// Stores two boxes through one buffer, the second one box further along the outermost dimension.
template <int Rank>
__global__ void store_boxes(const __grid_constant__ CUtensorMap map, Corner corner, int step,
                            std::uint32_t words, const std::uint32_t* in) {
  MINIDL_DYNAMIC_SHARED(std::uint32_t, s);
  for (std::uint32_t tile = 0; tile < 2; ++tile) {
    for (std::uint32_t i = threadIdx.x; i < words; i += blockDim.x) s[i] = in[tile * words + i];
    fence_proxy_async();
    __syncthreads();
    if (threadIdx.x == 0) {
      std::int32_t c[Rank];
      for (int i = 0; i < Rank; ++i) c[i] = corner.c[i];
      c[Rank - 1] += static_cast<int>(tile) * step;
      tma_store(&map, shared_address(s), c);
      bulk_commit();
      if (tile == 0) {
        bulk_wait_read<0>();
      } else {
        bulk_wait<0>();
      }
    }
    __syncthreads();
  }
}

template <int Rank>
struct Box {
  const char* name;
  unsigned element, swizzle;
  std::uint64_t sizes[Rank];
  std::uint64_t strides[Rank > 1 ? Rank - 1 : 1];  // bytes, of all but the first
  std::uint32_t box[Rank];
  std::int32_t corner[Rank];

  std::uint32_t bytes() const {
    std::uint32_t total = element;
    for (const std::uint32_t extent : box) total *= extent;
    return total;
  }
  std::size_t tensor_words() const {
    const std::uint64_t outer = Rank > 1 ? strides[Rank > 1 ? Rank - 2 : 0] : element;
    return static_cast<std::size_t>((sizes[Rank - 1] * outer + 3) / 4);
  }
  Corner load_at() const {
    Corner result{};
    for (int i = 0; i < Rank; ++i) result.c[i] = corner[i];
    return result;
  }
  // Only loads may begin in front of the tensor.
  Corner store_at() const {
    Corner result{};
    for (int i = 0; i < Rank; ++i) result.c[i] = std::abs(corner[i]);
    return result;
  }
  CUtensorMap map(const void* base) const;
};

template <int Rank>
CUtensorMap Box<Rank>::map(const void* base) const {
  const auto type = element == 1   ? CU_TENSOR_MAP_DATA_TYPE_UINT8
                    : element == 2 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                    : element == 4 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT32
                                   : CU_TENSOR_MAP_DATA_TYPE_FLOAT64;
  return [&]<std::size_t... D, std::size_t... S>(std::index_sequence<D...>,
                                                 std::index_sequence<S...>) {
    return kernels::cuda::make_tensor_map(
        {name, base, type, element, {sizes[D]...}, {strides[S]...}, {box[D]...}, swizzle});
  }
  (std::make_index_sequence<Rank>{}, std::make_index_sequence<Rank - 1>{});
}

template <int Rank>
void add_box(Cases& cases, const Box<Rank>& box) {
  cases.push_back({std::string("tma load ") + box.name, 0, [box] {
                     const Buffer<std::uint32_t> in(noise(box.tensor_words(), 11)),
                         out(box.bytes() / 4 + 256);
                     launch(blocks(box.name, 1, 128, box.bytes() + 1024), load_box<Rank>,
                            box.map(in.get()), box.load_at(), box.bytes(), out.get());
                     return out.words();
                   }});
  cases.push_back(
      {std::string("tma store ") + box.name, 0, [box] {
         const std::uint32_t words = box.bytes() / 4;
         const Buffer<std::uint32_t> in(noise(2 * words, 12)), out(box.tensor_words(), 0x77);
         launch(blocks(box.name, 1, 128, box.bytes()), store_boxes<Rank>, box.map(out.get()),
                box.store_at(), static_cast<int>(box.box[Rank - 1]), words, in.get());
         return out.words();
       }});
}

}  // namespace

void add_tma(Cases& cases) {
  add_box<1>(cases, {"rank 1", 4, 0, {100}, {}, {64}, {50}});
  using Box2 = Box<2>;
  for (const Box2& box :
       {Box2{"bf16 128 B", 2, 128, {128, 100}, {256}, {64, 32}, {0, 0}},
        Box2{"bf16 128 B, odd start", 2, 128, {128, 100}, {256}, {64, 32}, {3, 5}},
        Box2{"bf16 128 B, right and below", 2, 128, {100, 100}, {208}, {64, 64}, {72, 77}},
        Box2{"bf16 128 B, left and above", 2, 128, {100, 100}, {208}, {64, 64}, {-5, -3}},
        Box2{"bf16 128 B, all outside", 2, 128, {100, 100}, {208}, {64, 64}, {200, 0}},
        Box2{"bf16 128 B, rows of 64 bytes", 2, 128, {96, 40}, {192}, {32, 16}, {8, 1}},
        Box2{"bf16 128 B, larger than the tensor", 2, 128, {24, 20}, {48}, {64, 32}, {0, 0}},
        Box2{"bf16 64 B", 2, 64, {96, 70}, {192}, {32, 64}, {8, 1}},
        Box2{"bf16 32 B", 2, 32, {96, 70}, {192}, {16, 64}, {8, 1}},
        Box2{"bf16 none, rows of 512 bytes", 2, 0, {300, 20}, {608}, {256, 8}, {50, 1}},
        Box2{"f32 none", 4, 0, {50, 50}, {208}, {32, 32}, {30, 30}},
        Box2{"f32 128 B", 4, 128, {50, 50}, {208}, {32, 32}, {30, -1}},
        Box2{"f64 none", 8, 0, {10, 30}, {80}, {4, 8}, {7, 17}},
        Box2{"u8 none", 1, 0, {200, 60}, {208}, {64, 32}, {7, 3}},
        Box2{"u8 128 B", 1, 128, {200, 60}, {208}, {128, 32}, {90, 3}}}) {
    add_box(cases, box);
  }
  add_box<3>(cases, {"rank 3", 2, 32, {40, 7, 5}, {96, 672}, {16, 4, 3}, {30, -1, 1}});
  add_box<4>(cases,
             {"rank 4", 2, 128, {64, 6, 5, 3}, {128, 768, 3840}, {64, 3, 3, 2}, {0, 4, -2, 1}});
  add_box<5>(cases, {"rank 5",
                     2,
                     0,
                     {32, 4, 3, 3, 2},
                     {64, 256, 768, 2304},
                     {16, 2, 2, 2, 2},
                     {24, 3, 2, -1, 1}});
}

}  // namespace minidl::conformance
