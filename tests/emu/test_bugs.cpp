// The emulator's promise: kernels with a mistake of one of these classes do not pass. Each row of
// the table at the end is a kernel with one mistake, the builds and schedules that must report it,
// and words of the report. Kernels come first, in the order of the table.
//
// Each case runs in a child process: AddressSanitizer reports by aborting.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "support.h"
#include "tests/catch.h"
#include "tests/emu/bugs/bugs.h"
#include "tests/emu/sanitizer.h"

using namespace emu_test;

namespace {

enum Build : unsigned { kPlain = 1, kAsan = 2, kRace = 4, kAny = 7 };

Build this_build() {
#if defined(EMU_ASAN)
  return kAsan;
#elif defined(__SANITIZE_THREAD__)
  return kRace;
#else
  return kPlain;
#endif
}

// Which schedules must report it: bits of 1 << schedule.
enum When : unsigned { kForward = 1, kReverse = 2, kRandom = 4, kAlways = 7 };

emu::Options schedule(unsigned index) {
  emu::Options options;
  options.hang_seconds = 2;
  options.seed = 5;
  if (index == 1) {
    options.order = emu::Order::kReverse;
    options.completion = emu::Completion::kEager;
    options.poison = 0x5a;
  } else if (index == 2) {
    options.order = emu::Order::kRandom;
    options.completion = emu::Completion::kRandom;
  }
  return options;
}

// What the child says: the error, or "" if the kernel passes and its result is right.
std::string report_of(void (*bug)(), unsigned schedule_index) {
  int channel[2];
  REQUIRE(pipe(channel) == 0);
  std::fflush(nullptr);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    dup2(channel[1], STDERR_FILENO);
    dup2(channel[1], STDOUT_FILENO);
    close(channel[0]);
    emu::options() = schedule(schedule_index);
    const std::string error = error_of(bug);
    std::fputs(error.c_str(), stderr);
    std::fflush(stderr);
    _exit(0);
  }
  close(channel[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t n = 0; (n = read(channel[0], buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(n));
  }
  close(channel[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return text;
}

struct Bug {
  const char* name;
  void (*run)();
  unsigned builds, schedules;  // that must report it
  const char* words;           // of the report; some of several, with | between
};

bool mentions(const std::string& report, const std::string& words) {
  for (std::size_t begin = 0; begin <= words.size();) {
    const std::size_t end = std::min(words.find('|', begin), words.size());
    if (report.find(words.substr(begin, end - begin)) != std::string::npos) return true;
    begin = end + 1;
  }
  return false;
}

constexpr const char* kWrong = "wrong result";
// A read that comes first finds nothing written.
constexpr const char* kRaceWords = "race on shared memory|uninitialised shared memory";

}  // namespace

TEST_CASE("correct kernels are not reported", "[bugs]") {
  for (const auto& [name, run] : emu_test::correct_kernels()) {
    for (unsigned index = 0; index < 3; ++index) {
      INFO(name << ", schedule " << index);
      CHECK(report_of(run, index) == "");
    }
  }
}

TEST_CASE("every class of bug is reported", "[bugs]") {
  using namespace emu_test::bugs;
  const Bug bugs[] = {
      // Barriers and warps
      {"a barrier in a branch", barrier_in_branch, kAny, kAlways, "__syncthreads"},
      {"a return before a barrier", return_before_barrier, kAny, kAlways, "have ended"},
      {"a return while others wait", return_while_waiting, kAny, kAlways, "__syncthreads"},
      {"threads disagree on a barrier's count", wrong_barrier_count, kAny, kAlways, "disagree"},
      {"a barrier that waits for too many", barrier_waits_for_too_many, kAny, kAlways,
       "64 of 96 have arrived"},
      {"a barrier count that is no multiple of 32", odd_barrier_count, kAny, kAlways,
       "not a multiple of 32"},
      {"a shuffle in a branch", shuffle_in_branch, kAny, kAlways, "__shfl_sync"},
      {"a shuffle from a lane outside the mask", shuffle_from_inactive, kAny, kAlways,
       "not in the mask"},
      {"a mask without the caller", mask_without_caller, kAny, kAlways, "does not name it"},
      {"lanes in different collectives", different_collectives, kAny, kAlways, "divergent warp"},
      {"wrong elements by mma in a partial warp", mma_in_partial_warp, kAny, kAlways,
       "partial warp"},
      // Shared memory
      {"no barrier between write and read", missing_barrier, kRace, kAlways, kRaceWords},
      {"no barrier between write and read", missing_barrier, kPlain | kAsan, kForward | kReverse,
       kWrong},
      {"no barrier before shared memory is used again", missing_second_barrier, kRace, kAlways,
       kRaceWords},
      {"no __syncwarp between lanes", missing_syncwarp, kRace, kAlways, kRaceWords},
      {"shared memory that nobody wrote", uninitialised_shared, kRace, kAlways, "uninitialised"},
      {"shared memory that nobody wrote", uninitialised_shared, kPlain | kAsan, kAlways, kWrong},
      {"a write past a shared variable", shared_overflow, kAsan, kAlways, "use-after-poison"},
      {"a write past a shared variable", shared_overflow, kRace, kAlways,
       "outside of every shared"},
      {"a write past a shared variable", shared_overflow, kPlain, kAlways, "past the end"},
      {"an instruction past shared memory", ldmatrix_overflow, kAny, kAlways, "outside the block"},
      {"too much static shared memory", too_much_static, kAny, kAlways, "48 KiB"},
      // Global memory
      {"a write past global memory", global_overflow, kAsan, kAlways, "heap-buffer-overflow"},
      {"cp.async past global memory", cp_async_overflow, kAsan, kAlways, "out of bounds"},
      // Hangs and crashes
      {"a stack that overflows", stack_overflow, kAny, kAlways, "stack"},
      {"a block that waits for a later one", wait_for_later_block, kAny, kAlways, "another block"},
      {"a block that waits for an earlier one", wait_for_earlier_block, kAny, kReverse,
       "another block"},
      {"a block that reads until a later one writes", read_until_written, kPlain | kAsan, kForward,
       "without coming to a barrier"},
      {"a block that reads until a later one writes", read_until_written, kRace, kForward,
       "another block"},
      {"__trap()", trap, kAny, kAlways, "__trap()"},
      // cp.async
      {"no wait for cp.async", cp_async_not_waited, kPlain | kAsan, kForward, kWrong},
      {"no wait for cp.async", cp_async_not_waited, kRace, kAlways, "not waited for"},
      {"cp.async that nobody waits for", cp_async_forgotten, kAny, kAlways, "never waited for"},
      {"cp.async to a misaligned address", cp_async_misaligned, kAny, kAlways,
       "not a multiple of 16"},
      {"no barrier after waiting for cp.async", cp_async_without_barrier, kRace, kAlways,
       kRaceWords},
      // mbarrier
      {"the wrong parity", wrong_parity, kAny, kAlways, "mbarrier|uninitialised"},
      {"more bytes expected than come", expect_too_many, kAny, kAlways, "bytes are missing"},
      {"fewer bytes expected than come", expect_too_few, kAny, kForward | kReverse, "mbarrier"},
      {"an mbarrier that was not initialised", mbarrier_uninitialised, kAny, kAlways,
       "not initialised"},
      {"no fence after mbarrier.init", mbarrier_not_fenced, kAny, kAlways, "fence_mbarrier_init"},
      {"no barrier after mbarrier.init", mbarrier_init_race, kRace, kAlways, "mbarrier"},
      {"an mbarrier that is overwritten", mbarrier_overwritten, kAny, kAlways,
       "overwritten|race on"},
      {"too many arrivals", too_many_arrivals, kAny, kAlways, "more arrivals"},
      // TMA
      {"a TMA destination that is not aligned", tma_misaligned, kAny, kAlways,
       "not a multiple of 1024"},
      {"a TMA box past shared memory", tma_past_shared, kAny, kAlways, "outside the block"},
      {"TMA past the tensor's memory", tma_past_global, kAsan, kAlways, "out of bounds"},
      {"a tensor map in ordinary memory", tma_no_map, kAny, kAlways, "no tensor map"},
      {"a tile read before its TMA load is waited for", tma_not_waited, kRace, kAlways, ""},
      {"a tile read before its TMA load is waited for", tma_not_waited, kPlain | kAsan, kForward,
       ""},
      {"no fence.proxy.async before a TMA store", store_without_fence, kAny, kAlways,
       "fence.proxy.async"},
      {"fence.proxy.async after the barrier", store_with_late_fence, kRace, kAlways,
       "fence.proxy.async"},
      {"a tile overwritten before its TMA store was waited for", store_not_waited, kRace, kAlways,
       "was not waited for"},
      {"one thread's wait for another's TMA store", store_waited_by_other, kRace, kAlways,
       "was not waited for"},
      {"a TMA store that nobody waits for", store_forgotten, kAny, kAlways, "waited for"},
      // TMA im2col
      {"an im2col offset that is too large", im2col_offset, kAny, kAlways, "im2col offset of 256"},
      {"im2col from outside of the bounding box", im2col_outside_box, kAny, kAlways,
       "outside of the bounding box"},
      {"an im2col load by a tiled map", im2col_tiled_map, kAny, kAlways,
       "a tiled map in an im2col instruction"},
      {"a tiled load by an im2col map", im2col_tiled_load, kAny, kAlways,
       "an im2col map in a tiled instruction"},
      {"only pixels inside are expected", im2col_expects_inside_only, kAny, kAlways, "mbarrier"},
      {"no wait for an im2col load", im2col_not_waited, kPlain | kAsan, kForward, kWrong},
      {"no wait for an im2col load", im2col_not_waited, kRace, kAlways,
       "not waited for|race on|uninitialised"},
      // TMA reductions
      {"no fence.proxy.async before a TMA reduction", reduce_without_fence, kAny, kAlways,
       "fence.proxy.async"},
      {"a tile overwritten before its TMA reduction was waited for", reduce_not_waited, kRace,
       kAlways, "was not waited for"},
      {"a tile overwritten before its TMA reduction was waited for", reduce_not_waited,
       kPlain | kAsan, kForward, kWrong},
      {"a TMA reduction that nobody waits for", reduce_forgotten, kAny, kAlways, "waited for"},
      {"a TMA reduction that there is not", reduce_type, kAny, kAlways, "no min or max of this"},
      {"a TMA reduction in front of its tensor", reduce_negative, kAny, kAlways,
       "coordinate 0 is -4"},
      {"a TMA reduction from a misaligned address", reduce_misaligned, kAny, kAlways,
       "not a multiple of 128"},
      // Bulk copies without a tensor map
      {"a bulk copy of an odd size", bulk_odd_size, kAny, kAlways, "multiples of 16"},
      {"a bulk copy from a misaligned address", bulk_misaligned, kAny, kAlways,
       "not a multiple of 16"},
      {"a bulk copy of more bytes than expected", bulk_expect_too_few, kAny, kAlways, "mbarrier"},
      {"no wait for a bulk copy", bulk_not_waited, kPlain | kAsan, kForward, kWrong},
      {"no wait for a bulk copy", bulk_not_waited, kRace, kAlways,
       "not waited for|race on|uninitialised"},
      {"no fence.proxy.async before a bulk store", bulk_store_without_fence, kAny, kAlways,
       "fence.proxy.async"},
      {"a bulk store that nobody waits for", bulk_store_forgotten, kAny, kAlways, "waited for"},
      {"no fence.proxy.async before a copy to another block", bulk_send_without_fence, kAny,
       kAlways, "fence.proxy.async"},
      {"the source of a copy to another block overwritten", bulk_send_overwritten, kPlain | kAsan,
       kForward, kWrong},
      {"the source of a copy to another block overwritten", bulk_send_overwritten, kRace, kAlways,
       "still reads|race on"},
      {"a copy to another block that the own one is told of", bulk_send_barrier, kAny, kAlways,
       "not in the block"},
      {"no wait for another block's copy", bulk_send_not_waited, kPlain | kAsan, kForward, kWrong},
      {"no wait for another block's copy", bulk_send_not_waited, kRace, kAlways,
       "not waited for|race on|uninitialised"},
      // wgmma
      {"no wgmma.fence", wgmma_without_fence, kAny, kAlways, "without a wgmma.fence"},
      {"accumulators read before wgmma.wait", wgmma_not_waited, kAny, kForward, kWrong},
      {"wgmma that nobody waits for", wgmma_forgotten, kAny, kAlways, "never waited for"},
      {"no fence.proxy.async before wgmma", wgmma_without_proxy_fence, kAny, kAlways,
       "fence.proxy.async"},
      {"operands overwritten before wgmma.wait", wgmma_operand_overwritten, kRace, kAlways,
       "still reads"},
      {"an N that wgmma does not have", wgmma_wrong_n, kAny, kAlways, "no N = 40"},
      {"a descriptor past shared memory", wgmma_past_shared, kAny, kAlways, "outside the block"},
      {"wgmma by part of a warpgroup", wgmma_in_branch, kAny, kAlways, "wgmma"},
      // Clusters
      {"an arrival at a block that has ended", arrive_at_ended, kAny, kAlways, "which has ended"},
      {"no cluster barrier at the end", no_last_cluster_barrier, kRace, kAlways, "cluster barrier"},
      {"a cluster barrier after a loop of one lane", cluster_barrier_diverged, kAny, kAlways,
       "__syncwarp()"},
      {"a cluster barrier that one block skips", cluster_barrier_skipped, kAny, kAlways, "cluster"},
      {"a race on another block's shared memory", remote_race, kRace, kAlways, kRaceWords},
  };
  for (const Bug& bug : bugs) {
    if ((bug.builds & this_build()) == 0) continue;
    for (unsigned index = 0; index < 3; ++index) {
      if ((bug.schedules >> index & 1) == 0) continue;
      INFO(bug.name << ", schedule " << index);
      const std::string report = report_of(bug.run, index);
      INFO("reported: " << report);
      CHECK(report != "");
      CHECK(mentions(report, bug.words));
    }
  }
}
