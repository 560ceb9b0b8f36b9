// The contract on a GPU: a collective is work in the order of streams. It starts after what the
// caller's stream holds at the call, and what the stream gets after wait() comes after it; the host
// waits for the other ranks only. Each rank may use the same GPU.

#include <chrono>
#include <iostream>
#include <thread>
#include <vector>

#include "minidl/core/communicator.h"
#include "minidl/kernels/common/cuda_support.h"
#include "minidl/kernels/common/pinned_memory.h"
#include "minidl/kernels/common/stream.h"
#include "tests/catch.h"
#include "tests/dist/world.h"

namespace minidl {
namespace {

const Device kGpu{DeviceType::cuda, 0};

bool gpu_or_skip() {
  if (kernels::cuda::device_count() > 0) return true;
  std::cout << "SKIPPED: " << why_not_cuda() << '\n';
  return false;
}

Communicator& world() {
  return test::world();
}

bool all_are(const Tensor& tensor, double expected) {
  const std::vector<double> values = tensor.to_vector();
  return values == std::vector<double>(values.size(), expected);
}

// Two pieces, the second one short.
constexpr std::int64_t kLarge = 1100001;
constexpr std::int64_t kSmall = 300;

TEST_CASE("gpu collectives: each runs between what the caller's stream held and what it gets",
          "[gpu_collectives]") {
  if (!gpu_or_skip()) return;
  const int size = world().size();
  const std::int64_t count = GENERATE(kSmall, kLarge);
  const bool own_stream = GENERATE(false, true);
  CAPTURE(count, own_stream);
  const StreamGuard guard(kGpu, own_stream ? Stream::create(kGpu) : current_stream(kGpu));
  const TensorOptions options{.device = kGpu};

  const Tensor sum = zeros({count}, options);
  sum.fill_(world().rank() + 1);
  world().all_reduce(sum)->wait();
  sum.mul_(2);
  const Tensor everybodys = full({count}, world().rank(), options);
  world().broadcast(everybodys, size - 1)->wait();
  everybodys.mul_(3);
  REQUIRE(all_are(sum, size * (size + 1)));
  REQUIRE(all_are(everybodys, 3 * (size - 1)));

  const Tensor whole = zeros({count * size}, options);
  world().all_gather(full({count}, world().rank(), options), whole)->wait();
  whole.mul_(2);
  const Tensor part = empty({count}, options);
  world().reduce_scatter(whole, part)->wait();
  part.mul_(2);
  REQUIRE(all_are(part, 4 * size * world().rank()));
}

TEST_CASE("gpu collectives: tensors may go, and their memory to others, while one is in flight",
          "[gpu_collectives][use]") {
  if (!gpu_or_skip()) return;
  const TensorOptions options{.device = kGpu};
  const int size = world().size();
  world().barrier();
  const std::int64_t before = memory_stats(kGpu).total.current;
  std::vector<Tensor> results;
  for (int round = 0; round < 10; ++round) {
    const Tensor whole = empty({kSmall * size}, options);
    world().all_gather(full({kSmall}, round, options), whole);  // the part is dropped at once
    if (round % 2 == 0) results.push_back(whole);               // and here the whole, too
    const Tensor other = full({kSmall}, -1, options);
  }
  world().all_reduce(zeros({1}, options))->wait();
  for (std::size_t i = 0; i < results.size(); ++i) {
    REQUIRE(all_are(results[i], 2 * static_cast<double>(i)));
  }
  results.clear();
  REQUIRE(memory_stats(kGpu).total.current == before);
}

TEST_CASE("gpu collectives: pinned memory is reused", "[gpu_collectives]") {
  if (!gpu_or_skip()) return;
  const Tensor data = ones({kSmall}, {.device = kGpu});
  const auto reserved_after = [&](int rounds) {
    for (int i = 0; i < rounds; ++i) {
      world().all_reduce(data)->wait();
      current_stream(kGpu).synchronize();
    }
    return pinned_bytes_reserved();
  };
  const std::size_t few = reserved_after(2);
  REQUIRE(reserved_after(20) == few);
}

TEST_CASE("gpu collectives: the GPU goes on while the host waits for a rank", "[gpu_collectives]") {
  if (!gpu_or_skip() || world().size() == 1) return;
  const bool is_late = world().rank() == world().size() - 1;
  const Tensor number = ones({1}, {.device = cpu});
  const Tensor data = empty({kSmall}, {.device = kGpu});
  world().barrier();
  if (is_late) std::this_thread::sleep_for(std::chrono::milliseconds(300));
  for (int i = 0; i < 20; ++i) data.fill_(i);
  world().all_reduce(number)->wait();
  if (!is_late) REQUIRE(current_stream(kGpu).done());
}

TEST_CASE("gpu collectives: CPU and GPU take turns in one FIFO", "[gpu_collectives]") {
  if (!gpu_or_skip()) return;
  const Tensor here = ones({kSmall}, {.device = cpu});
  const Tensor there = ones({kSmall}, {.device = kGpu});
  for (int i = 0; i < 3; ++i) {
    world().all_reduce(there);
    world().all_reduce(here)->wait();
  }
  world().all_reduce(there, Reduction::max)->wait();
  const double expected = world().size() * world().size() * world().size();
  REQUIRE(all_are(here, expected));
  REQUIRE(all_are(there, expected));
}

TEST_CASE("gpu collectives: some ranks may be on the CPU", "[gpu_collectives]") {
  if (!gpu_or_skip()) return;
  const Tensor data = ones({kSmall}, {.device = world().is_main() ? kGpu : cpu});
  world().all_reduce(data)->wait();
  REQUIRE(all_are(data, world().size()));
}

TEST_CASE("gpu collectives: operands on two devices are refused", "[gpu_collectives]") {
  if (!gpu_or_skip()) return;
  const Tensor part = zeros({2}, {.device = cpu});
  const Tensor whole = zeros({2 * world().size()}, {.device = kGpu});
  CHECK_THROWS_WITH(world().all_gather(part, whole), Contains("all_gather") &&
                                                         Contains("same type and place") &&
                                                         Contains("f32[2] on cpu"));
  CHECK_THROWS_WITH(world().reduce_scatter(whole, part), Contains("reduce_scatter"));
}

}  // namespace
}  // namespace minidl
