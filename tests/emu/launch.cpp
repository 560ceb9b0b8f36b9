// run(): from a launch to its clusters.
#include <algorithm>
#include <mutex>
#include <numeric>

#include "sanitizer.h"
#include "scheduler.h"

namespace emu {
namespace {

LaunchHook hook_before, hook_after;

// Sizes as CUDA limits them.
void check(const Launch& launch) {
  const auto refuse = [&](const std::string& why) { throw Error(launch.kernel, why); };
  const auto text = [](const dim3& d) {
    return "(" + std::to_string(d.x) + "," + std::to_string(d.y) + "," + std::to_string(d.z) + ")";
  };
  const dim3 &grid = launch.grid, &block = launch.block, &cluster = launch.cluster;
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  if (!launch.body) refuse("the launch has no body");
  if (threads == 0 || block.x > 1024 || block.y > 1024 || block.z > 64 || threads > 1024) {
    refuse("a block of " + text(block) + " threads; CUDA allows 1 to 1024, 64 along z");
  }
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffff || grid.y > 65535 ||
      grid.z > 65535) {
    refuse("a grid of " + text(grid) + " blocks; CUDA allows 1 to 2^31 - 1, 65535 along y and z");
  }
  const std::uint64_t blocks = std::uint64_t{cluster.x} * cluster.y * cluster.z;
  if (blocks == 0 || blocks > 16) {
    refuse("a cluster of " + text(cluster) + " blocks; there may be 1 to 16");
  }
  if (grid.x % cluster.x != 0 || grid.y % cluster.y != 0 || grid.z % cluster.z != 0) {
    refuse("a grid of " + text(grid) + " is not a multiple of the cluster " + text(cluster));
  }
  if (launch.shared_bytes > kSharedLimit) {
    refuse(std::to_string(launch.shared_bytes) + " bytes of dynamic shared memory; there are " +
           std::to_string(kSharedLimit));
  }
}

void run_grid(const Launch& launch) {
  const unsigned nx = launch.grid.x / launch.cluster.x, ny = launch.grid.y / launch.cluster.y,
                 nz = launch.grid.z / launch.cluster.z;
  const std::uint64_t clusters = std::uint64_t{nx} * ny * nz;
  constexpr std::uint64_t kShuffled = 1 << 20;
  std::vector<std::uint32_t> shuffled;
  if (options().order == Order::kRandom && clusters <= kShuffled) {
    shuffled.resize(clusters);
    std::iota(shuffled.begin(), shuffled.end(), 0U);
    std::shuffle(shuffled.begin(), shuffled.end(), execution.random);
  }
  for (std::uint64_t i = 0; i < clusters; ++i) {
    std::uint64_t at = options().order == Order::kReverse ? clusters - 1 - i : i;
    if (!shuffled.empty()) at = shuffled[i];
    run_cluster(launch, {static_cast<unsigned>(at % nx) * launch.cluster.x,
                         static_cast<unsigned>(at / nx % ny) * launch.cluster.y,
                         static_cast<unsigned>(at / nx / ny) * launch.cluster.z});
  }
}

}  // namespace

std::size_t stack_bytes() {
#ifdef EMU_ASAN
  constexpr std::size_t kDefault = 256 * 1024;
#else
  constexpr std::size_t kDefault = 64 * 1024;
#endif
  return options().stack_bytes != 0 ? options().stack_bytes : kDefault;
}

void set_launch_hooks(LaunchHook before, LaunchHook after) {
  hook_before = std::move(before);
  hook_after = std::move(after);
}

bool in_kernel() {
  return current != nullptr;
}

void run(const Launch& launch) {
  if (in_kernel()) fail("a kernel launches '%s'", launch.kernel.c_str());
  static std::mutex one_at_a_time;
  const std::lock_guard<std::mutex> lock(one_at_a_time);
  check(launch);

  struct Hooks {
    const Launch& launch;
    explicit Hooks(const Launch& l) : launch(l) {
      if (hook_before) hook_before(launch);
    }
    ~Hooks() {
      if (hook_after) hook_after(launch);
    }
  };
  // A handler of faults that a hook puts on top hands on what is not its own, stack overflows.
  const Watch watch;
  const Hooks hooks(launch);
  execution.random.seed(options().seed);
  execution.error.reset();
  try {
    run_grid(launch);
  } catch (...) {
    abandon();
    execution.cluster.launch = nullptr;
    throw;
  }
  execution.cluster.launch = nullptr;
}

}  // namespace emu
