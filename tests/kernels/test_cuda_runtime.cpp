// The contract: streams, events, memory and copies work alike on the CPU, where they do nothing or
// everything at once, and on a GPU, where nothing waits unless it is asked to. The tests of a GPU
// are skipped where the build or the machine has none; the emulated one counts.

#include <cstring>
#include <numeric>
#include <thread>
#include <vector>

#include "minidl/kernels/common/allocator.h"
#include "minidl/kernels/common/cuda_support.h"
#include "minidl/kernels/common/error.h"
#include "minidl/kernels/common/exec_context.h"
#include "minidl/kernels/common/pinned_memory.h"
#include "minidl/kernels/common/stream.h"
#include "minidl/kernels/common/transfer.h"
#include "tests/catch.h"
#include "tests/device.h"

using namespace minidl;
using kernels::transfer;
using test::gpu_or_skip;

namespace {

const Device kGpu{DeviceType::cuda, 0};
constexpr std::size_t kCount = 5000;
constexpr std::size_t kBytes = kCount * sizeof(float);

std::vector<float> ramp() {
  std::vector<float> values(kCount);
  std::iota(values.begin(), values.end(), 1.0F);
  return values;
}

std::int64_t in_use(MemoryTag tag) {
  return memory_stats(kGpu)[tag].current;
}

}  // namespace

TEST_CASE("on the CPU, streams are nothing and copies happen at once", "[cuda_runtime]") {
  const Stream stream = current_stream(cpu);
  CHECK(stream == Stream());
  CHECK(stream.native() == nullptr);
  CHECK(stream.done());
  CHECK_FALSE(stream.capturing());
  const Event event = stream.record();
  CHECK(event.done());
  stream.wait(event);
  stream.synchronize();

  const std::vector<float> source = ramp();
  std::vector<float> result(kCount);
  transfer(result.data(), cpu, source.data(), cpu, kBytes, stream);
  CHECK(result == source);
}

TEST_CASE("pinned memory is reused, wherever it comes from", "[cuda_runtime]") {
  empty_pinned_cache();
  const std::size_t before = pinned_bytes_reserved();
  void* first = nullptr;
  {
    PinnedBuffer buffer(kBytes);
    first = buffer.data();
    std::memset(first, 1, kBytes);
    CHECK(pinned_bytes_reserved() >= before + kBytes);
  }
  PinnedBuffer again(kBytes);
  CHECK(again.data() == first);
  PinnedBuffer moved = std::move(again);
  CHECK(moved.data() == first);
  CHECK(PinnedBuffer(0).data() == nullptr);
  moved = PinnedBuffer();
  empty_pinned_cache();
  CHECK(pinned_bytes_reserved() == before);
}

TEST_CASE("a machine without a GPU says why, a machine with one does not", "[cuda_runtime]") {
  if (kernels::cuda::device_count() == 0) {
    CHECK_FALSE(why_not_cuda().empty());
    CHECK(Device::best() == cpu);
    CHECK_THROWS_WITH(require_available(kGpu), Contains("cuda:0"));
    CHECK_THROWS_AS(Stream::create(kGpu), Error);
    CHECK_THROWS_AS(allocator(kGpu), Error);
  } else {
    require_available(kGpu);
    CHECK(Device::best().is_cuda() == why_not_cuda().empty());
    CHECK_THROWS_WITH(require_available({DeviceType::cuda, 1000}), Contains("no device cuda:1000"));
  }
}

TEST_CASE("bytes go to the GPU and back", "[cuda_runtime][cuda]") {
  if (!gpu_or_skip()) return;
  const Stream stream = current_stream(kGpu);
  const Buffer one(allocator(kGpu), kBytes, MemoryTag::activation);
  const Buffer two(allocator(kGpu), kBytes, MemoryTag::activation);
  std::vector<float> source = ramp();
  std::vector<float> result(kCount);
  transfer(one.data(), kGpu, source.data(), cpu, kBytes, stream);
  std::fill(source.begin(), source.end(), 0.0F);  // ordinary memory has been read
  transfer(two.data(), kGpu, one.data(), kGpu, kBytes, stream);
  transfer(result.data(), cpu, two.data(), kGpu, kBytes, stream);
  CHECK(result == ramp());  // to ordinary memory: done
}

TEST_CASE("pinned memory travels while the host goes on", "[cuda_runtime][cuda]") {
  if (!gpu_or_skip()) return;
  const Stream stream = current_stream(kGpu);
  const Buffer device(allocator(kGpu), kBytes, MemoryTag::activation);
  PinnedBuffer there(kBytes);
  PinnedBuffer back(kBytes);
  const std::vector<float> source = ramp();
  std::memcpy(there.data(), source.data(), kBytes);
  transfer(device.data(), kGpu, there.data(), cpu, kBytes, stream);
  there.used_by(stream);
  transfer(back.data(), cpu, device.data(), kGpu, kBytes, stream);
  back.used_by(stream);
  const Event copied = stream.record();
  copied.synchronize();
  CHECK(copied.done());
  CHECK(std::memcmp(back.data(), source.data(), kBytes) == 0);
}

TEST_CASE("a pinned block is not handed out while a copy uses it", "[cuda_runtime][cuda]") {
  if (!gpu_or_skip()) return;
  const Stream stream = current_stream(kGpu);
  const Buffer device(allocator(kGpu), kBytes, MemoryTag::activation);
  std::vector<float> result(kCount);
  for (float round = 0; round < 20; ++round) {  // reuse must never overtake a copy
    PinnedBuffer buffer(kBytes);
    std::fill(buffer.as<float>(), buffer.as<float>() + kCount, round);
    transfer(device.data(), kGpu, buffer.data(), cpu, kBytes, stream);
    buffer.used_by(stream);
  }
  transfer(result.data(), cpu, device.data(), kGpu, kBytes, stream);
  CHECK(result == std::vector<float>(kCount, 19));
}

TEST_CASE("one stream waits for an event of another", "[cuda_runtime][cuda]") {
  if (!gpu_or_skip()) return;
  const Stream compute = Stream::own(kGpu, StreamRole::compute);
  const Stream copies = Stream::own(kGpu, StreamRole::copy);
  CHECK_FALSE(compute == copies);
  CHECK(compute == Stream::own(kGpu, StreamRole::compute));
  CHECK(compute == current_stream(kGpu));

  const Buffer device(allocator(kGpu), kBytes, MemoryTag::activation);
  const std::vector<float> source = ramp();
  std::vector<float> result(kCount);
  copies.wait(compute.record());  // the allocation
  transfer(device.data(), kGpu, source.data(), cpu, kBytes, copies);
  compute.wait(copies.record());
  transfer(result.data(), cpu, device.data(), kGpu, kBytes, compute);
  CHECK(result == source);
}

TEST_CASE("workspace comes and goes on its context's stream", "[cuda_runtime][cuda]") {
  if (!gpu_or_skip()) return;
  const ExecContext ctx{.device = kGpu, .stream = Stream::create(kGpu)};
  const std::vector<float> source = ramp();
  std::vector<float> result(kCount);
  {
    const Buffer scratch = ctx.workspace(kBytes);
    transfer(scratch.data(), kGpu, source.data(), cpu, kBytes, ctx.stream);
    transfer(result.data(), cpu, scratch.data(), kGpu, kBytes, ctx.stream);
  }
  CHECK(result == source);
}

TEST_CASE("a guard changes the stream of this thread only", "[cuda_runtime][cuda]") {
  if (!gpu_or_skip()) return;
  const Stream compute = current_stream(kGpu);
  const Stream mine = Stream::create(kGpu);
  {
    const StreamGuard guard(kGpu, mine);
    CHECK(current_stream(kGpu) == mine);
    CHECK(ExecContext{kGpu}.stream == mine);
    {
      const StreamGuard inner(kGpu, compute);
      CHECK(current_stream(kGpu) == compute);
    }
    CHECK(current_stream(kGpu) == mine);
    bool same = true;
    std::thread([&] { same = current_stream(kGpu) == mine; }).join();
    CHECK_FALSE(same);
  }
  CHECK(current_stream(kGpu) == compute);
}

TEST_CASE("a user's stream serves like our own", "[cuda_runtime][cuda]") {
  if (!gpu_or_skip()) return;
  const Stream theirs = Stream::create(kGpu);
  const Stream borrowed = Stream::borrow(kGpu, theirs.native());
  CHECK(borrowed == theirs);
  const StreamGuard guard(kGpu, borrowed);
  const Buffer device(allocator(kGpu), kBytes, MemoryTag::activation);
  const std::vector<float> source = ramp();
  std::vector<float> result(kCount);
  transfer(device.data(), kGpu, source.data(), cpu, kBytes, borrowed);
  transfer(result.data(), cpu, device.data(), kGpu, kBytes, theirs);
  CHECK(result == source);
  theirs.synchronize();
  CHECK(borrowed.done());
  Stream::borrow(kGpu, theirs.native());  // whose end is not the stream's
  theirs.synchronize();
}

TEST_CASE("the GPU's memory is counted by tag", "[cuda_runtime][cuda]") {
  if (!gpu_or_skip()) return;
  Allocator& gpu = allocator(kGpu);
  CHECK(&gpu == &allocator(kGpu));
  gpu.reset_peaks();
  const std::int64_t before = in_use(MemoryTag::param);
  {
    const Buffer buffer(gpu, 1000, MemoryTag::param);
    CHECK(reinterpret_cast<std::uintptr_t>(buffer.data()) % 64 == 0);
    CHECK(in_use(MemoryTag::param) == before + 1000);
    CHECK(memory_stats(kGpu).reserved >= 1000);
  }
  CHECK(in_use(MemoryTag::param) == before);
  CHECK(memory_stats(kGpu)[MemoryTag::param].peak == before + 1000);

  void* data = gpu.allocate(100, MemoryTag::activation);
  const std::int64_t gradients = in_use(MemoryTag::grad);
  gpu.retag(100, MemoryTag::activation, MemoryTag::grad);
  CHECK(in_use(MemoryTag::grad) == gradients + 100);
  gpu.deallocate(data, 100, MemoryTag::grad);
  CHECK(gpu.allocate(0, MemoryTag::grad) == nullptr);
  gpu.empty_cache();

  ExecContext ctx{kGpu};
  const std::int64_t scratch = in_use(MemoryTag::workspace);
  const Buffer workspace = ctx.workspace(64);
  CHECK(in_use(MemoryTag::workspace) == scratch + 64);
}

TEST_CASE("memory is freed after what the freeing stream holds", "[cuda_runtime][cuda]") {
  if (!gpu_or_skip()) return;
  const std::vector<float> source = ramp();
  PinnedBuffer there(kBytes);
  PinnedBuffer back(kBytes);
  std::memcpy(there.data(), source.data(), kBytes);
  const Stream other = Stream::create(kGpu);
  Buffer buffer(allocator(kGpu), kBytes, MemoryTag::activation);  // the compute stream's
  other.wait(current_stream(kGpu).record());
  transfer(buffer.data(), kGpu, there.data(), cpu, kBytes, other);
  transfer(back.data(), cpu, buffer.data(), kGpu, kBytes, other);
  {
    const StreamGuard guard(kGpu, other);
    buffer = Buffer();  // by a stream that still uses it
  }
  current_stream(kGpu).synchronize();
  other.synchronize();
  CHECK(std::memcmp(back.data(), source.data(), kBytes) == 0);
}

TEST_CASE("exhausted memory is an error that says what to do", "[cuda_runtime][cuda]") {
  if (!gpu_or_skip()) return;
  CHECK_THROWS_WITH(allocator(kGpu).allocate(std::size_t{1} << 60, MemoryTag::param),
                    Contains("cudaMallocAsync(1152921504606846976 bytes as param") &&
                        Contains("out of memory") && Contains("use a smaller batch"));
  const Buffer still_works(allocator(kGpu), 64, MemoryTag::param);
}

TEST_CASE("a copy without a stream of the GPU is refused", "[cuda_runtime][cuda]") {
  if (!gpu_or_skip()) return;
  const Buffer buffer(allocator(kGpu), 64, MemoryTag::activation);
  float value = 0;
  CHECK_THROWS_WITH(transfer(buffer.data(), kGpu, &value, cpu, sizeof value, Stream()),
                    Contains("needs a stream of that device"));
}
