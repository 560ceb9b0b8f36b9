// Counters, peaks and odd corners of Storage; its contract is proved in test_storage_contract.cpp.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "minidl/core/tensor.h"
#include "minidl/kernels/common/error.h"
#include "tests/catch.h"

using namespace minidl;

namespace {

std::int64_t in_use(MemoryTag tag) {
  return memory_stats(default_device())[tag].current;
}

constexpr MemoryTag kTags[] = {MemoryTag::param, MemoryTag::grad, MemoryTag::optimizer,
                               MemoryTag::activation, MemoryTag::workspace};

// Work that goes on in another thread and ends by writing to the bytes, as a copy on a stream of a
// GPU would.
class FakeStream final : public StorageUse {
 public:
  explicit FakeStream(const Tensor& tensor)
      : thread_([this, bytes = tensor.data<float>(), count = tensor.numel()] {
          std::this_thread::sleep_for(std::chrono::milliseconds(50));
          for (std::int64_t i = 0; i < count; ++i) bytes[i] = 7;
          sum_ = bytes[0] * static_cast<float>(count);
          done_ = true;
        }) {}
  ~FakeStream() override { finish(); }

  bool done() const override { return done_; }
  void finish() override {
    if (thread_.joinable()) thread_.join();
  }
  float sum() const { return sum_; }

 private:
  std::atomic<bool> done_{false};
  float sum_ = 0;
  std::thread thread_;  // last: the members before it are there when it starts
};

// Is done when the test says so, and counts the calls.
struct CountedUse final : StorageUse {
  bool done() const override { return is_done; }
  void finish() override {
    ++finished;
    if (fails) throw Error("the stream was lost");
    is_done = true;
  }
  bool is_done = false;
  bool fails = false;
  int finished = 0;
};

}  // namespace

TEST_CASE("storage: release and materialize twice do nothing the second time", "[storage]") {
  const Tensor t = ones({4});
  const void* data = t.raw_data();
  t.storage().materialize();
  CHECK(t.raw_data() == data);
  const std::int64_t before = in_use(MemoryTag::activation);
  t.storage().release();
  t.storage().release();
  CHECK(in_use(MemoryTag::activation) == before - 16);
  t.storage().materialize();
  t.storage().materialize();
  CHECK(in_use(MemoryTag::activation) == before);
}

TEST_CASE("storage: counters follow each tag", "[contract]") {
  for (const MemoryTag tag : kTags) {
    CAPTURE(name(tag));
    const std::int64_t before = in_use(tag);
    {
      const Storage storage(1000, default_device(), tag);
      CHECK(storage.tag() == tag);
      CHECK(storage.bytes() == 1000);
      CHECK(in_use(tag) == before + 1000);
      storage.release();
      CHECK(in_use(tag) == before);
      storage.materialize();
      CHECK(in_use(tag) == before + 1000);
    }
    CHECK(in_use(tag) == before);
  }
}

TEST_CASE("storage: release waits for those who use the bytes", "[storage][use][threads][cpu]") {
  const Tensor t = ones({1000});
  const auto stream = std::make_shared<FakeStream>(t);
  t.storage().add_use(stream);
  t.slice(0, 0, 1).storage().release();  // through a view
  CHECK(stream->done());
  CHECK(stream->sum() == 7000);  // it found its bytes to the end
  CHECK(t.storage().released());
}

TEST_CASE("storage: the last handle may go while the bytes are in use",
          "[storage][use][threads][cpu]") {
  const std::int64_t before = in_use(MemoryTag::activation);
  std::shared_ptr<FakeStream> stream;
  {
    const Tensor t = ones({1000});
    stream = std::make_shared<FakeStream>(t);
    t.storage().add_use(stream);
  }
  CHECK(stream->done());
  CHECK(stream->sum() == 7000);
  CHECK(in_use(MemoryTag::activation) == before);
  CHECK(stream.use_count() == 1);

  bool deleted = false;
  std::vector<float> memory(1000);
  {
    const Tensor t = from_blob(memory.data(), {1000}, {}, {}, [&](void*) { deleted = true; });
    stream = std::make_shared<FakeStream>(t);
    t.storage().add_use(stream);
    CHECK_FALSE(deleted);
  }
  CHECK(deleted);
  CHECK(memory[999] == 7);
}

TEST_CASE("storage: uses that are done are not waited for and not kept", "[storage][use]") {
  const Storage storage(64, default_device());
  const auto done = std::make_shared<CountedUse>();
  done->is_done = true;
  storage.add_use(done);
  CHECK(done.use_count() == 1);

  std::vector<std::shared_ptr<CountedUse>> uses;
  for (int i = 0; i < 3; ++i) {
    uses.push_back(std::make_shared<CountedUse>());
    storage.add_use(uses.back());
  }
  uses[0]->is_done = true;
  storage.add_use(std::make_shared<CountedUse>());
  CHECK(uses[0].use_count() == 1);
  CHECK(uses[1].use_count() == 2);

  storage.release();
  CHECK(uses[0]->finished == 0);
  CHECK(uses[1]->finished == 1);
  CHECK(uses[2]->finished == 1);
  CHECK(uses[2].use_count() == 1);
  storage.materialize();
  storage.release();
  CHECK(uses[2]->finished == 1);
}

TEST_CASE("storage: bytes whose user cannot be finished are kept", "[storage][use]") {
  const auto lost = std::make_shared<CountedUse>();
  lost->fails = true;
  const Storage storage(64, default_device());
  storage.add_use(lost);
  CHECK_THROWS_WITH(storage.release(), Contains("the stream was lost"));
  CHECK_FALSE(storage.released());
  lost->is_done = true;
  storage.release();
  CHECK(storage.released());
}

TEST_CASE("storage: a new tag moves the bytes, also while they are released", "[contract]") {
  const std::int64_t params = in_use(MemoryTag::param);
  const std::int64_t activations = in_use(MemoryTag::activation);
  {
    const Tensor t = zeros({100});
    t.slice(0, 0, 1).set_memory_tag(MemoryTag::param);
    CHECK(in_use(MemoryTag::param) == params + 400);
    CHECK(in_use(MemoryTag::activation) == activations);
    t.storage().release();
    t.set_memory_tag(MemoryTag::activation);
    CHECK(in_use(MemoryTag::param) == params);
    CHECK(in_use(MemoryTag::activation) == activations);
    t.storage().materialize();
    CHECK(in_use(MemoryTag::activation) == activations + 400);
  }
  CHECK(in_use(MemoryTag::activation) == activations);
}

TEST_CASE("storage: peaks stay until they are reset", "[contract]") {
  Allocator& memory = allocator(default_device());
  memory.reset_peaks();
  const MemoryStats before = memory.stats();
  { const Storage storage(1 << 20, default_device(), MemoryTag::workspace); }
  const MemoryStats after = memory.stats();
  CHECK(after[MemoryTag::workspace].peak >= before[MemoryTag::workspace].current + (1 << 20));
  CHECK(after.total.peak >= before.total.current + (1 << 20));
  CHECK(after.total.current == before.total.current);
  CHECK(after.allocations == before.allocations + 1);
  memory.reset_peaks();
  CHECK(memory.stats().total.peak == memory.stats().total.current);
}

TEST_CASE("storage: threads allocate, free and count at the same time", "[storage][threads][cpu]") {
  const std::int64_t before = memory_stats(default_device()).total.current;
  constexpr int kThreads = 4;
  std::atomic<int> spoilt{0};
  const auto work = [&](int thread) {
    std::vector<Storage> kept;
    for (int round = 0; round < 200; ++round) {
      const std::size_t bytes = std::size_t{64} * static_cast<std::size_t>(1 + round % 7);
      const Storage storage(bytes, default_device(), kTags[round % 5]);
      const Storage other = storage;
      auto* data = static_cast<unsigned char*>(storage.data());
      const auto mark = static_cast<unsigned char>(thread * 50 + round % 50);
      std::fill(data, data + bytes, mark);
      if (round % 3 == 0) kept.push_back(other);
      if (round % 50 == 0) {
        storage.set_tag(MemoryTag::workspace);
        allocator(default_device()).empty_cache();
      }
      std::this_thread::yield();
      if (std::count(data, data + bytes, mark) != static_cast<std::ptrdiff_t>(bytes)) ++spoilt;
      if (memory_stats(default_device()).total.current < before) ++spoilt;
    }
  };
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) threads.emplace_back(work, thread);
  for (std::thread& thread : threads) thread.join();
  CHECK(spoilt == 0);
  CHECK(memory_stats(default_device()).total.current == before);
}

TEST_CASE("storage: nothing to allocate is null and can still be released", "[storage]") {
  const Storage empty(0, default_device());
  CHECK(empty.data() == nullptr);
  empty.release();
  CHECK(empty.released());
  empty.materialize();
  CHECK(empty.data() == nullptr);
}

TEST_CASE("storage: handles compare by the memory they share", "[storage]") {
  const Tensor t = ones({2});
  CHECK(t.storage() == t.reshape({1, 2}).storage());
  CHECK_FALSE(t.storage() == t.clone().storage());
  CHECK_FALSE(static_cast<bool>(Storage()));
  const long handles = t.storage().use_count();
  const Tensor view = t.slice(0, 0, 1);
  CHECK(t.storage().use_count() == handles + 1);
}

TEST_CASE("storage: versions and the last change", "[storage]") {
  const Storage storage(8, default_device());
  CHECK(storage.version() == 0);
  CHECK(storage.last_change() == nullptr);
  storage.bump_version("scale_");
  CHECK(storage.version() == 1);
  CHECK(std::string(storage.last_change()) == "scale_");
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which end the process there
TEST_CASE("storage: more memory than there is can be asked for and is refused", "[storage]") {
  const std::int64_t before = memory_stats(default_device()).total.current;
  const std::size_t bytes = std::size_t{1} << 54;
  CHECK_THROWS_WITH(Storage(bytes, default_device()), Contains(std::to_string(bytes)));
  CHECK(memory_stats(default_device()).total.current == before);
}
#endif

TEST_CASE("storage: a device that is not there is named", "[storage]") {
  CHECK_THROWS_WITH(Storage(8, Device{DeviceType::cuda, 999}), Contains("cuda:999"));
  CHECK_THROWS_WITH(zeros({1}, {.device = Device{DeviceType::cuda, 999}}), Contains("cuda:999"));
  CHECK_THROWS_WITH(ones({1}).to(Device{DeviceType::cuda, 999}), Contains("cuda:999"));
}
