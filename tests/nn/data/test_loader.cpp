#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "minidl/core/random.h"
#include "minidl/kernels/common/philox.h"
#include "minidl/nn/data/loader.h"
#include "minidl/nn/data/sampling.h"
#include "tests/catch.h"
#include "tests/nn/data/data_files.h"

using namespace minidl;
using namespace minidl::data;
using namespace minidl::test;

namespace {

// Rank and size are all that the loader reads.
class FakeWorld final : public Communicator {
 public:
  FakeWorld(int rank, int size) : rank_(rank), size_(size) {}
  int rank() const override { return rank_; }
  int size() const override { return size_; }

 private:
  WorkPtr start_all_reduce(const Tensor&, Reduction, const std::string&) override { return {}; }
  WorkPtr start_broadcast(const Tensor&, int, const std::string&) override { return {}; }
  WorkPtr start_all_gather(const Tensor&, const Tensor&, const std::string&) override { return {}; }
  WorkPtr start_reduce_scatter(const Tensor&, const Tensor&, Reduction,
                               const std::string&) override {
    return {};
  }

  int rank_;
  int size_;
};

// x tells sample and random number, y the sample. Can fail, and counts its calls.
class Numbers : public Dataset {
 public:
  explicit Numbers(std::int64_t size) : size_(size) {}

  std::int64_t size() const override { return size_; }
  std::string name() const override { return "numbers"; }

  Batch batch(std::span<const std::int64_t> indices, const BatchContext& context) const override {
    ++*calls;
    const auto count = static_cast<std::int64_t>(indices.size());
    Batch result{.x = empty({count, 2}, {.dtype = f64, .device = cpu}),
                 .y = empty({count}, {.dtype = i64, .device = cpu})};
    for (std::size_t i = 0; i < indices.size(); ++i) {
      if (indices[i] == fails_at) throw Error("sample 23 is broken");
      const auto stream = static_cast<std::uint64_t>(context.epoch);
      const auto words = philox4x32(context.seed, stream, static_cast<std::uint64_t>(indices[i]));
      result.x.data<double>()[2 * i] = static_cast<double>(indices[i]);
      result.x.data<double>()[2 * i + 1] = words[0];
      result.y.data<std::int64_t>()[i] = indices[i];
    }
    return result;
  }

  std::shared_ptr<std::atomic<int>> calls = std::make_shared<std::atomic<int>>(0);
  std::int64_t fails_at = -1;

 private:
  std::int64_t size_;
};

// The batches of one rank, as plain numbers. Computed without tensor operations.
std::vector<std::vector<double>> collect(const Loader& loader, std::int64_t epoch) {
  std::vector<std::vector<double>> batches;
  for (auto [x, y] : loader.epoch(epoch)) {
    batches.emplace_back(x.data<double>(), x.data<double>() + x.numel());
  }
  return batches;
}

}  // namespace

TEST_CASE("every sample comes once, whatever ranks, workers and batch", "[data][loader]") {
  constexpr std::uint64_t kSeed = 11;
  INFO("seed " << kSeed);
  PhiloxSequence random(kSeed, 0);
  for (int round = 0; round < 120; ++round) {
    const auto size = static_cast<std::int64_t>(1 + random.below(60));
    const LoaderOptions options{.global_batch = 1 + random.below(20),
                                .shuffle = random.below(2) == 0,
                                .drop_last = false,
                                .seed = random.below(5),
                                .workers = static_cast<int>(random.below(4)),
                                .prefetch = static_cast<int>(1 + random.below(3))};
    const auto ranks = static_cast<int>(1 + random.below(5));
    INFO("size " << size << " batch " << options.global_batch << " ranks " << ranks << " workers "
                 << options.workers);

    // The same pass with one process that loads inline.
    LoaderOptions inline_options = options;
    inline_options.workers = 0;
    const auto expected = collect(Loader(Numbers(size), inline_options), 4);

    std::vector<std::vector<double>> joined(expected.size());
    for (int rank = 0; rank < ranks; ++rank) {
      const Loader loader(Numbers(size), options, FakeWorld(rank, ranks));
      const auto batches = collect(loader, 4);
      REQUIRE(batches.size() == expected.size());
      CHECK(loader.batches() == static_cast<std::int64_t>(batches.size()));
      for (std::size_t b = 0; b < batches.size(); ++b) {
        const auto whole = static_cast<std::int64_t>(expected[b].size() / 2);
        const auto part = static_cast<std::int64_t>(batches[b].size() / 2);
        CHECK((part == whole / ranks || part == (whole + ranks - 1) / ranks));
        joined[b].insert(joined[b].end(), batches[b].begin(), batches[b].end());
      }
    }
    CHECK(joined == expected);

    std::vector<int> seen(static_cast<std::size_t>(size));
    for (const auto& batch : expected) {
      for (std::size_t i = 0; i < batch.size(); i += 2) ++seen[static_cast<std::size_t>(batch[i])];
    }
    CHECK(seen == std::vector<int>(static_cast<std::size_t>(size), 1));
  }
}

TEST_CASE("shares cover the whole and differ by at most one", "[data][loader]") {
  for (std::int64_t size = 0; size < 30; ++size) {
    for (int ranks = 1; ranks < 8; ++ranks) {
      std::int64_t at = 5;
      for (int rank = 0; rank < ranks; ++rank) {
        const Interval part = share_of({.begin = 5, .end = 5 + size}, rank, ranks);
        CHECK(part.begin == at);
        CHECK((part.size() == size / ranks || part.size() == (size + ranks - 1) / ranks));
        at = part.end;
      }
      CHECK(at == 5 + size);
    }
  }
}

TEST_CASE("the order follows seed and epoch", "[data][loader]") {
  const Loader loader(Numbers(500), {.global_batch = 500, .shuffle = true});
  const auto first = collect(loader, 0);
  CHECK(first == collect(loader, 0));
  CHECK(first != collect(loader, 1));
  CHECK(first !=
        collect(Loader(Numbers(500), {.global_batch = 500, .shuffle = true, .seed = 1}), 0));
  const auto plain = collect(Loader(Numbers(6), {.global_batch = 4}), 9);
  CHECK(plain[0][0] == 0);
  CHECK(plain[1][2] == 5);
}

TEST_CASE("a permutation is uniform", "[data][loader]") {
  std::vector<int> counts(25);
  for (std::uint64_t seed = 0; seed < 5000; ++seed) {
    const auto order = random_permutation(5, seed, 3);
    for (std::size_t i = 0; i < 5; ++i) ++counts[i * 5 + static_cast<std::size_t>(order[i])];
  }
  for (const int count : counts) CHECK(std::abs(count - 1000) < 150);
}

TEST_CASE("drop_last leaves out the tail", "[data][loader]") {
  const Loader loader(Numbers(10), {.global_batch = 4, .drop_last = true});
  CHECK(loader.batches() == 2);
  CHECK(loader.epoch(0).size() == 2);
  CHECK(collect(loader, 0).size() == 2);
}

TEST_CASE("ranks without samples get empty batches", "[data][loader]") {
  const Loader loader(Numbers(5), {.global_batch = 2}, FakeWorld(3, 4));
  std::int64_t batches = 0;
  for (auto [x, y] : loader.epoch(0)) {
    CHECK(x.shape() == Shape{0, 2});
    CHECK(y.shape() == Shape{0});
    ++batches;
  }
  CHECK(batches == 3);
}

TEST_CASE("impossible loaders are refused", "[data][loader]") {
  CHECK_THAT(error_of([] { Loader(Numbers(5), {.global_batch = 0}); }), Contains("batch of 0"));
  CHECK_THAT(error_of([] { Loader(Numbers(5), {.global_batch = -3}); }), Contains("batch of -3"));
  CHECK_THAT(error_of([] { Loader(Numbers(5), {.workers = -1}); }), Contains("-1 workers"));
  CHECK_THAT(error_of([] { Loader(Numbers(5), {.prefetch = 0}); }), Contains("0 batches"));
  CHECK_THAT(error_of([] { Loader(Numbers(0)); }), Contains("numbers is empty"));
  CHECK_THAT(error_of([] { Loader(Numbers(5), {.global_batch = 6, .drop_last = true}); }),
             Contains("drop_last leaves no batch of numbers"));
  CHECK_THAT(error_of([] { Loader(std::shared_ptr<const Dataset>()); }), Contains("no dataset"));
  CHECK_THAT(error_of([] { Loader(Numbers(5)).epoch(-1); }), Contains("no epoch -1"));
  CHECK(Loader(Numbers(5), {.global_batch = std::int64_t{1} << 62}).batches() == 1);
  auto epoch = Loader(Numbers(5)).epoch(0);
  epoch.begin();
  CHECK_THAT(error_of([&] { epoch.begin(); }), Contains("walked once"));
}

TEST_CASE("a loop may be left early", "[data][loader]") {
  for (const int workers : {0, 1, 3}) {
    Numbers numbers(10000);
    const Loader loader(numbers, {.global_batch = 1, .workers = workers, .prefetch = 2});
    int steps = 0;
    for (auto [x, y] : loader.epoch(0)) {
      if (++steps == 3) break;
    }
    CHECK(*numbers.calls <= 3 + 2 * workers);
    CHECK_THROWS_AS(
        [&] {
          for (auto [x, y] : loader.epoch(1)) throw std::runtime_error("left");
        }(),
        std::runtime_error);
    loader.epoch(2);  // never walked
  }
}

TEST_CASE("an epoch outlives its loader and can be moved", "[data][loader]") {
  auto make = [] { return Loader(Numbers(9), {.global_batch = 2}).epoch(0); };
  Epoch epoch = make();
  Epoch moved = std::move(epoch);
  std::int64_t samples = 0;
  for (auto [x, y] : moved) samples += y.numel();
  CHECK(samples == 9);
}

TEST_CASE("an exception in a worker arrives at its batch", "[data][loader]") {
  for (const int workers : {0, 1, 3}) {
    Numbers numbers(100);
    numbers.fails_at = 23;
    const Loader loader(numbers, {.global_batch = 5, .workers = workers});
    int steps = 0;
    const std::string message = error_of([&] {
      for (auto [x, y] : loader.epoch(0)) ++steps;
    });
    CHECK(message == "sample 23 is broken");
    CHECK(steps == 4);
  }
}

TEST_CASE("workers are ahead by no more than asked for", "[data][loader]") {
  Numbers numbers(1000);
  const Loader loader(numbers, {.global_batch = 1, .workers = 2, .prefetch = 3});
  auto epoch = loader.epoch(0);
  auto it = epoch.begin();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  CHECK(*numbers.calls <= 1 + 2 * 3);
  for (; it != epoch.end(); ++it) {
  }
  CHECK(*numbers.calls == 1000);
}

TEST_CASE("batches stay in order when loading takes uneven time", "[data][loader]") {
  class Uneven final : public Numbers {
   public:
    using Numbers::Numbers;
    Batch batch(std::span<const std::int64_t> indices, const BatchContext& context) const override {
      std::this_thread::sleep_for(std::chrono::microseconds(indices[0] * 7919 % 500));
      return Numbers::batch(indices, context);
    }
  };
  const Loader loader(Uneven(200), {.global_batch = 1, .workers = 3});
  std::int64_t expected = 0;
  for (auto [x, y] : loader.epoch(0)) {
    if (*y.data<std::int64_t>() != expected) CHECK(*y.data<std::int64_t>() == expected);
    ++expected;
  }
  CHECK(expected == 200);
}

TEST_CASE("datasets are shared when handed over by pointer", "[data][loader]") {
  const auto numbers = std::make_shared<const Numbers>(3);
  const Loader loader(numbers, {.global_batch = 2, .workers = 1});
  CHECK(&loader.dataset() == numbers.get());
  CHECK(collect(loader, 0).size() == 2);
}
