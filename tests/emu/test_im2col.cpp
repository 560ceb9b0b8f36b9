// TMA im2col loads against a plain gather of the same convolution's operand, for 1, 2 and 3
// dimensions of random, unequal sizes.
#include <algorithm>

#include "minidl/kernels/cuda/ptx/cluster.cuh"
#include "minidl/kernels/cuda/ptx/mbarrier.cuh"
#include "minidl/kernels/cuda/ptx/tensor_map.cuh"
#include "minidl/kernels/cuda/ptx/tma.cuh"
#include "minidl/kernels/cuda/ptx/tma_im2col.cuh"
#include "support.h"
#include "tests/catch.h"

using namespace emu_test;
using namespace minidl::kernels::cuda::ptx;
using minidl::kernels::cuda::Im2colMapConfig;
using minidl::kernels::cuda::make_im2col_map;

namespace {

// Pixel m of the matrix is (m % count[0], m / count[0] % count[1], ...), W first, then the image;
// it begins at `lower` plus `step` times that.
struct Walk {
  std::int32_t count[3], lower[3], step[3];
  std::uint16_t offset[3];
  std::int32_t channel, pixels;
};

// A block per tile of pixels. Multicast: two blocks, a cluster, get the first tile.
template <int Rank>
void gather_kernel(const __grid_constant__ CUtensorMap map, Walk walk, std::uint32_t bytes,
                   unsigned char* out, bool multicast) {
  MINIDL_DYNAMIC_SHARED(unsigned char, s);
  MINIDL_SHARED(std::uint64_t, object, [1]);
  const std::uint32_t barrier = shared_address(object);
  if (threadIdx.x == 0) {
    mbarrier_init(barrier, 1);
    fence_mbarrier_init();
    mbarrier_arrive_expect(barrier, bytes);
  }
  __syncwarp();
  if (multicast) cluster_sync();
  if (threadIdx.x == 0 && (!multicast || cluster_rank() == 0)) {
    std::int32_t c[Rank] = {walk.channel};
    std::uint16_t offsets[Rank - 2];
    auto rest = static_cast<std::int32_t>(blockIdx.x) * walk.pixels;
    for (int i = 0; i < Rank - 2; ++i) {
      c[i + 1] = walk.lower[i] + rest % walk.count[i] * walk.step[i];
      rest /= walk.count[i];
      offsets[i] = walk.offset[i];
    }
    c[Rank - 1] = rest;
    if (multicast) {
      tma_load_im2col_multicast(shared_address(s), &map, barrier, c, offsets, 3);
    } else {
      tma_load_im2col(shared_address(s), &map, barrier, c, offsets);
    }
  }
  mbarrier_wait(barrier, 0);
  for (unsigned i = threadIdx.x; i < bytes; i += blockDim.x) out[blockIdx.x * bytes + i] = s[i];
  __syncwarp();
  if (multicast) cluster_sync();
}

struct Convolution {
  std::int32_t size[3], kernel[3], stride[3], padding[3], dilation[3], result[3];
  std::int32_t images, channels;
};

Convolution random_convolution(unsigned spatial, bool strided, std::mt19937& engine) {
  const auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(engine);
  };
  Convolution c{};
  c.images = pick(1, 3);
  c.channels = 4 * pick(1, 5);
  for (unsigned i = 0; i < spatial; ++i) {
    do {
      c.size[i] = pick(2, spatial == 3 ? 6 : 11);
      c.kernel[i] = pick(1, 4);
      c.stride[i] = strided ? pick(1, 3) : 1;
      c.padding[i] = pick(0, 3);
      c.dilation[i] = pick(1, 2);
      const int room = c.size[i] + 2 * c.padding[i] - (c.kernel[i] - 1) * c.dilation[i] - 1;
      c.result[i] = room < 0 ? 0 : room / c.stride[i] + 1;
    } while (c.result[i] == 0);
  }
  return c;
}

// Which places the gather visits in a tensor of `size`: pixel p, tap k of a dimension.
struct Forward {
  static const std::int32_t* size(const Convolution& c) { return c.size; }
  static const std::int32_t* pixels(const Convolution& c) { return c.result; }
  static std::int32_t lower(const Convolution& c, unsigned i) { return -c.padding[i]; }
  static std::int32_t upper(const Convolution& c, unsigned i) {
    return c.padding[i] - (c.kernel[i] - 1) * c.dilation[i];
  }
  static std::int32_t step(const Convolution& c, unsigned i) { return c.stride[i]; }
  static std::int32_t offset(const Convolution& c, unsigned i, std::int32_t tap) {
    return tap * c.dilation[i];
  }
  static std::int32_t place(const Convolution& c, unsigned i, std::int32_t p, std::int32_t tap) {
    return p * c.stride[i] - c.padding[i] + tap * c.dilation[i];
  }
};

// The tensor is the gradient of the result, the pixels are the input's.
struct Backward {
  static const std::int32_t* size(const Convolution& c) { return c.result; }
  static const std::int32_t* pixels(const Convolution& c) { return c.size; }
  static std::int32_t lower(const Convolution& c, unsigned i) {
    return c.padding[i] - (c.kernel[i] - 1) * c.dilation[i];
  }
  static std::int32_t upper(const Convolution& c, unsigned i) {
    return lower(c, i) + c.size[i] - c.result[i];
  }
  static std::int32_t step(const Convolution&, unsigned) { return 1; }
  static std::int32_t offset(const Convolution& c, unsigned i, std::int32_t tap) {
    return (c.kernel[i] - 1 - tap) * c.dilation[i];
  }
  // Output q with q - padding + tap dilation = p.
  static std::int32_t place(const Convolution& c, unsigned i, std::int32_t p, std::int32_t tap) {
    return p + c.padding[i] - tap * c.dilation[i];
  }
};

template <class Direction, unsigned Spatial>
CUtensorMap map_of(const Convolution& c, const float* x, std::uint32_t channels,
                   std::uint32_t pixels, unsigned swizzle) {
  using D = Direction;
  const auto u = [](std::int32_t n) { return static_cast<std::uint64_t>(n); };
  const auto step = [&](unsigned i) { return static_cast<std::uint32_t>(D::step(c, i)); };
  const std::int32_t* size = D::size(c);
  const std::uint64_t C = u(c.channels), N = u(c.images), w = 4 * C, h = w * u(size[0]),
                      d = h * u(Spatial > 1 ? size[1] : 1), n = d * u(Spatial > 2 ? size[2] : 1);
  const auto type = CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
  if constexpr (Spatial == 1) {
    return make_im2col_map({"x",
                            x,
                            type,
                            4,
                            {C, u(size[0]), N},
                            {w, h},
                            {D::lower(c, 0)},
                            {D::upper(c, 0)},
                            {step(0)},
                            channels,
                            pixels,
                            swizzle});
  } else if constexpr (Spatial == 2) {
    return make_im2col_map({"x",
                            x,
                            type,
                            4,
                            {C, u(size[0]), u(size[1]), N},
                            {w, h, d},
                            {D::lower(c, 0), D::lower(c, 1)},
                            {D::upper(c, 0), D::upper(c, 1)},
                            {step(0), step(1)},
                            channels,
                            pixels,
                            swizzle});
  } else {
    return make_im2col_map({"x",
                            x,
                            type,
                            4,
                            {C, u(size[0]), u(size[1]), u(size[2]), N},
                            {w, h, d, n},
                            {D::lower(c, 0), D::lower(c, 1), D::lower(c, 2)},
                            {D::upper(c, 0), D::upper(c, 1), D::upper(c, 2)},
                            {step(0), step(1), step(2)},
                            channels,
                            pixels,
                            swizzle});
  }
}

// The element that pixel m has at a tap in a channel; those behind the last image are 0, too.
template <class Direction, unsigned Spatial>
float gathered(const Convolution& c, const std::vector<float>& x, std::int32_t m,
               const std::int32_t* taps, std::int32_t channel) {
  const std::int32_t *size = Direction::size(c), *pixels = Direction::pixels(c);
  std::int32_t place[3] = {};
  bool inside = channel < c.channels;
  for (unsigned i = 0; i < Spatial; ++i) {
    place[i] = Direction::place(c, i, m % pixels[i], taps[i]);
    m /= pixels[i];
    inside = inside && place[i] >= 0 && place[i] < size[i];
  }
  if (!inside || m >= c.images) return 0;
  std::int32_t at = m;
  for (unsigned i = Spatial; i-- > 0;) at = at * size[i] + place[i];
  return x[static_cast<std::size_t>(at * c.channels + channel)];
}

template <class Direction, unsigned Spatial>
void check_gather(const Convolution& c, std::mt19937& engine) {
  using D = Direction;
  constexpr int kRank = static_cast<int>(Spatial) + 2;
  const auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(engine);
  };
  Walk walk{};
  std::int32_t elements = c.images * c.channels, all = c.images;
  for (unsigned i = 0; i < Spatial; ++i) {
    walk.count[i] = D::pixels(c)[i];
    walk.lower[i] = D::lower(c, i);
    walk.step[i] = D::step(c, i);
    elements *= D::size(c)[i];
    all *= walk.count[i];
  }
  const unsigned swizzle = std::vector<unsigned>{0, 32, 64, 128}[engine() % 4];
  const int most = swizzle == 0 ? 5 : static_cast<int>(swizzle) / 16;
  const int channels = 4 * pick(1, most);
  const bool multicast = pick(0, 3) == 0;
  walk.pixels = 8 * pick(1, 8);
  walk.channel = 4 * pick(0, c.channels / 4 - 1);
  const auto x = random_numbers<float>(static_cast<std::size_t>(elements), engine);
  const CUtensorMap map = map_of<D, Spatial>(c, x.data(), static_cast<std::uint32_t>(channels),
                                             static_cast<std::uint32_t>(walk.pixels), swizzle);
  const auto bytes = static_cast<std::uint32_t>(walk.pixels * channels * 4);
  const auto tiles = static_cast<std::uint32_t>((all + walk.pixels - 1) / walk.pixels);
  INFO("W " << D::size(c)[0] << " H " << D::size(c)[1] << " D " << D::size(c)[2] << " channels "
            << channels << " of " << c.channels << " from " << walk.channel << ", tiles of "
            << walk.pixels << ", swizzle " << swizzle);

  std::int32_t taps[3] = {};
  for (unsigned i = 0; i < Spatial; ++i) {
    taps[i] = pick(0, c.kernel[i] - 1);
    walk.offset[i] = static_cast<std::uint16_t>(D::offset(c, i, taps[i]));
  }
  // In a cluster of two, the second block gets what the first one loads.
  std::vector<unsigned char> out(bytes * tiles * (multicast ? 2 : 1));
  LaunchConfig config = blocks("gather", tiles, 32, bytes);
  if (multicast) {
    config.grid = dim3(2);
    config.cluster = dim3(2);
  }
  launch(config, gather_kernel<kRank>, map, walk, bytes, out.data(), multicast);
  for (std::uint32_t block = 0; block < config.grid.x; ++block) {
    const std::uint32_t tile = multicast ? 0 : block;
    for (std::uint32_t i = 0; i < bytes / 4; ++i) {
      const std::int32_t m =
          static_cast<std::int32_t>(tile) * walk.pixels + static_cast<std::int32_t>(i) / channels;
      float value = 0;
      std::memcpy(&value, &out[block * bytes + swizzled_place(4 * i, swizzle)], 4);
      const std::int32_t channel = walk.channel + static_cast<std::int32_t>(i) % channels;
      INFO("pixel " << m << " channel " << channel);
      REQUIRE(value == gathered<D, Spatial>(c, x, m, taps, channel));
    }
  }
}

template <class Direction, unsigned Spatial>
void check_gathers(bool strided) {
  auto engine = random_engine();
  for (int i = 0; i < 25; ++i) {
    check_gather<Direction, Spatial>(random_convolution(Spatial, strided, engine), engine);
  }
}

}  // namespace

TEST_CASE("im2col loads gather the operand of a convolution", "[im2col]") {
  INFO(seed_text());
  check_gathers<Forward, 1>(true);
  check_gathers<Forward, 2>(true);
  check_gathers<Forward, 3>(true);
}

TEST_CASE("im2col loads gather the operand of its gradient", "[im2col]") {
  INFO(seed_text());
  check_gathers<Backward, 1>(false);
  check_gathers<Backward, 2>(false);
  check_gathers<Backward, 3>(false);
}

TEST_CASE("im2col maps that the driver refuses", "[im2col]") {
  alignas(16) static float data[2 * 4 * 5 * 8];
  const auto make = [](int lower, int upper, std::uint32_t step, std::uint32_t channels,
                       std::uint32_t pixels) {
    return make_im2col_map({"x",
                            data,
                            CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
                            4,
                            {8, 5, 4, 2},
                            {32, 160, 640},
                            {lower, 0},
                            {upper, 0},
                            {step, 1},
                            channels,
                            pixels,
                            0});
  };
  make(-1, 1, 2, 8, 64);
  make(-128, 127, 8, 256, 1024);
  CHECK_THROWS_WITH(make(-129, 0, 1, 8, 64), Contains("a corner of -129"));
  CHECK_THROWS_WITH(make(0, 128, 1, 8, 64), Contains("a corner of 128"));
  CHECK_THROWS_WITH(make(0, -5, 1, 8, 64), Contains("which is empty"));
  CHECK_THROWS_WITH(make(0, 0, 9, 8, 64), Contains("a step of 9"));
  CHECK_THROWS_WITH(make(0, 0, 1, 260, 64), Contains("260 channels"));
  CHECK_THROWS_WITH(make(0, 0, 1, 8, 1025), Contains("1025 pixels"));
  CHECK_THROWS_WITH(make(0, 0, 1, 6, 64), Contains("box rows of 24 bytes"));
  CHECK_THROWS_WITH((make_im2col_map({"x",
                                      data,
                                      CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
                                      4,
                                      {8, 5, 4, 2},
                                      {32, 160, 640},
                                      {0},
                                      {0},
                                      {1},
                                      8,
                                      8,
                                      0})),
                    Contains("corners and steps of 2"));
}
