// The interface to launchers: launches are values, errors say where, hooks surround, options and
// sizes are checked, every schedule is what it says.
#include <cstdlib>

#include "support.h"
#include "tests/catch.h"

using namespace emu_test;

namespace {

void fill(int* p, int value) {
  p[blockIdx.x * blockDim.x + threadIdx.x] = value;
}

}  // namespace

TEST_CASE("a launch is a value that freezes its arguments", "[engine]") {
  std::vector<int> out(8);
  int value = 3;
  emu::Launch launched =
      emu::make_launch("fill", dim3(2), dim3(4), dim3(1), 0, fill, out.data(), value);
  value = 4;
  const emu::Launch copy = launched;
  launched = {};
  emu::run(copy);
  CHECK(out == std::vector<int>(8, 3));
  emu::run(copy);  // as often as one likes
}

TEST_CASE("every thread has parameters of its own", "[engine]") {
  std::vector<int> out(64);
  launch(
      blocks("parameters", 1, 64),
      +[](int* p, int n) {
        n += static_cast<int>(threadIdx.x);
        __syncthreads();
        p[threadIdx.x] = n;
      },
      out.data(), 100);
  for (int i = 0; i < 64; ++i) REQUIRE(out[static_cast<std::size_t>(i)] == 100 + i);
}

TEST_CASE("an error says which kernel, block and thread", "[engine]") {
  const auto kernel = +[] {
    if (blockIdx.y == 1 && threadIdx.x == 5) __trap();
  };
  try {
    launch({"my_kernel", dim3(1, 2), dim3(32)}, kernel);
    FAIL("no error");
  } catch (const emu::Error& error) {
    CHECK(error.kernel() == "my_kernel");
    CHECK(error.has_thread());
    CHECK(error.block().y == 1);
    CHECK(error.thread().x == 5);
    CHECK(error.message() == "__trap()");
    CHECK(std::string(error.what()) == "my_kernel block (0,1,0) thread (5,0,0): __trap()");
  }
  // And the next launch works.
  std::vector<int> out(32);
  launch(blocks("fill", 1, 32), fill, out.data(), 1);
  CHECK(out == std::vector<int>(32, 1));
}

TEST_CASE("a C++ exception in a kernel becomes an error", "[engine]") {
  const auto throws = +[] { throw std::runtime_error("from the kernel"); };
  CHECK_THAT(error_of([&] { launch(blocks("throws", 1, 1), throws); }),
             Contains("from the kernel"));
}

TEST_CASE("a kernel cannot launch", "[engine]") {
  const auto nested = +[] {
    launch(
        blocks("inner", 1, 1), +[] {});
  };
  CHECK_FALSE(emu::in_kernel());
  CHECK_THAT(error_of([&] { launch(blocks("outer", 1, 1), nested); }),
             Contains("outer") && Contains("launches 'inner'"));
}

TEST_CASE("hooks surround a launch, also one that fails", "[engine]") {
  std::string calls;
  emu::set_launch_hooks([&](const emu::Launch& l) { calls += "before " + l.kernel + ";"; },
                        [&](const emu::Launch& l) { calls += "after " + l.kernel + ";"; });
  launch(
      blocks("good", 1, 1), +[] {});
  error_of([] {
    launch(
        blocks("bad", 1, 1), +[] { __trap(); });
  });
  emu::set_launch_hooks(nullptr, nullptr);
  launch(
      blocks("alone", 1, 1), +[] {});
  CHECK(calls == "before good;after good;before bad;after bad;");
}

TEST_CASE("sizes that CUDA does not allow are refused by name", "[engine]") {
  const struct {
    dim3 grid, block, cluster;
    std::size_t shared;
    const char* words;
  } cases[] = {
      {dim3(1), dim3(1025), dim3(1), 0, "blocks of (1025, 1, 1) threads"},
      {dim3(1), dim3(32, 33), dim3(1), 0, "blocks of (32, 33, 1) threads"},
      {dim3(1), dim3(1, 1, 65), dim3(1), 0, "64 along z"},
      {dim3(1), dim3(0), dim3(1), 0, "blocks of (0, 1, 1) threads"},
      {dim3(0), dim3(1), dim3(1), 0, "a grid of (0, 1, 1)"},
      {dim3(1, 65536), dim3(1), dim3(1), 0, "a grid of (1, 65536, 1)"},
      {dim3(0x80000000), dim3(1), dim3(1), 0, "2147483647 along x"},
      {dim3(3), dim3(1), dim3(2), 0, "not a multiple"},
      {dim3(32), dim3(1), dim3(32), 0, "clusters of (32, 1, 1)"},
      {dim3(1), dim3(1), dim3(1), 227 * 1024 + 1, "bytes of shared memory"},
  };
  for (const auto& c : cases) {
    INFO(c.words);
    const LaunchConfig config{"sizes", c.grid, c.block, c.shared, nullptr, c.cluster};
    CHECK_THROWS_WITH(launch(
                          config, +[] {}),
                      Contains("sizes: cannot launch") && Contains(c.words));
    // The engine does not rely on the launch layer.
    CHECK_THROWS_AS(emu::run(emu::make_launch(
                        "sizes", c.grid, c.block, c.cluster, c.shared, +[] {})),
                    emu::Error);
  }
  launch(
      {"largest", dim3(1), dim3(1024), 227 * 1024}, +[] {});
}

TEST_CASE("orders: the first thread to run is the one it should be", "[engine]") {
  emu::Options options = emu::options();
  const auto first = [&] {
    const WithOptions with(options);
    unsigned thread[2] = {0, ~0U};
    launch(
        blocks("first", 4, 96),
        +[](unsigned* p) {
          const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
          if (atomicAdd(&p[0], 1U) == 0) p[1] = i;
        },
        thread);
    CHECK(thread[0] == 384);
    return thread[1];
  };
  options.order = emu::Order::kForward;
  CHECK(first() == 0);
  options.order = emu::Order::kReverse;
  CHECK(first() == 383);
  options.order = emu::Order::kRandom;
  unsigned different = 0, previous = 0;
  for (options.seed = 1; options.seed < 20; ++options.seed) {
    const unsigned now = first();
    CHECK(first() == now);  // the seed decides
    different += now != previous ? 1 : 0;
    previous = now;
  }
  CHECK(different > 10);
}

TEST_CASE("fresh shared memory is poison, in every block anew", "[engine]") {
#ifndef __SANITIZE_THREAD__  // where reading it is an error
  emu::Options options = emu::options();
  options.poison = 0xab;
  const WithOptions with(options);
  std::vector<std::uint32_t> out(4);
  launch(
      blocks("poison", 2, 1, 16),
      +[](std::uint32_t* p) {
        MINIDL_SHARED(std::uint32_t, s, [4]);
        MINIDL_DYNAMIC_SHARED(std::uint32_t, d);
        p[2 * blockIdx.x] = s[3];
        p[2 * blockIdx.x + 1] = d[3];
        s[3] = d[3] = 0;
      },
      out.data());
  CHECK(out == std::vector<std::uint32_t>(4, 0xabababab));
#endif
}

TEST_CASE("shared variables: distinct, aligned, per block", "[engine]") {
  std::vector<std::uintptr_t> out(8);
  launch(
      blocks("variables", 2, 32, 100),
      +[](std::uintptr_t* p) {
        MINIDL_SHARED(char, a, [3]);
        MINIDL_SHARED(double, b, [2]);
        MINIDL_DYNAMIC_SHARED(float, c);
        p[4 * blockIdx.x + 0] = __cvta_generic_to_shared(&a);
        p[4 * blockIdx.x + 1] = __cvta_generic_to_shared(&b);
        p[4 * blockIdx.x + 2] = __cvta_generic_to_shared(c);
        p[4 * blockIdx.x + 3] = reinterpret_cast<std::uintptr_t>(c);
      },
      out.data());
  CHECK(out[0] % 16 == 0);
  CHECK(out[1] % 16 == 0);
  CHECK(out[2] % 1024 == 0);
  CHECK(out[3] % 1024 == 0);
  CHECK((out[1] >= out[0] + 3 || out[0] >= out[1] + 16));
  CHECK(out[0] >= out[2] + 100);
  CHECK(out[4] == out[0]);
}

TEST_CASE("deep recursion has the stack that MINIDL_EMU_STACK says", "[engine]") {
  emu::Options options = emu::options();
  options.stack_bytes = std::size_t{8} << 20;
  const WithOptions with(options);
  int depth = 0;
  launch(
      blocks("deep", 1, 1),
      +[](int* p) {
        struct Down {
          static int go(int n) {
            volatile char frame[1000];
            frame[0] = 1;
            return n == 0 ? 0 : frame[0] + go(n - 1);
          }
        };
        *p = Down::go(2000);
      },
      &depth);
  CHECK(depth == 2000);
}
