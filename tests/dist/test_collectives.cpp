#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "minidl/core/communicator.h"
#include "minidl/kernels/common/error.h"
#include "tests/catch.h"
#include "tests/dist/world.h"

namespace minidl {
namespace {

using namespace std::chrono_literals;

Communicator& world() {
  return test::world();
}

// Empty, one, odd, around the size that goes in one step, around a chunk, several chunks.
constexpr std::int64_t kSizes[] = {0, 1, 2, 5, 1000, 4097, 100003, 524288, 1500007};
constexpr DType kArithmetic[] = {f32, f64, i32, i64};
constexpr DType kAll[] = {f32, f16, bf16, f64, i8, u8, i32, i64, boolean};

// Numbers whose sum depends on the order of the additions, different on every rank. On the CPU.
Tensor host_sample(DType dtype, std::int64_t size, int rank) {
  const Tensor values = empty({size}, {.dtype = f64, .device = cpu});
  double* data = values.data<double>();
  for (std::int64_t i = 0; i < size; ++i) {
    const std::int64_t mixed = (i * 2654435761 + rank * 40503 + 12345) % 1000003;
    data[i] = is_floating_point(dtype) ? static_cast<double>(mixed) / 977.0 - 300
                                       : static_cast<double>(mixed % 100);
  }
  return values.to(dtype);
}

Tensor sample(DType dtype, std::int64_t size, int rank) {
  return host_sample(dtype, size, rank).to(default_device());
}

bool same_bits(const Tensor& tensor, const Tensor& expected) {
  const Tensor a = tensor.to(cpu);
  const Tensor b = expected.to(cpu);
  return a.dtype() == b.dtype() && a.numel() == b.numel() &&
         (a.numel() == 0 ||
          std::memcmp(a.raw_data(), b.raw_data(),
                      static_cast<std::size_t>(a.numel()) * size_of(a.dtype())) == 0);
}

double element(const Tensor& tensor, std::int64_t index) {
  return tensor.select(0, index).item();
}

// The host has waited for the ranks; on a GPU the result may still be on its way in the stream.
bool done_in_stream(const WorkPtr& work) {
  current_stream(default_device()).synchronize();
  return work->done();
}

// As the collectives define them: from left to right.
template <class T>
T combine(Reduction op, T a, T b) {
  switch (op) {
    case Reduction::max: return std::max(a, b);
    case Reduction::min: return std::min(a, b);
    default: return a + b;
  }
}

// What one process computes, rank by rank.
Tensor serial_reduction(DType dtype, std::int64_t size, Reduction op) {
  const Tensor result = host_sample(dtype, size, 0);
  visit_arithmetic("test", dtype, [&](auto zero) {
    using T = decltype(zero);
    T* out = result.data<T>();
    for (int rank = 1; rank < world().size(); ++rank) {
      const Tensor next = host_sample(dtype, size, rank);
      for (std::int64_t i = 0; i < size; ++i) out[i] = combine(op, out[i], next.data<T>()[i]);
    }
    if (op != Reduction::mean) return;
    for (std::int64_t i = 0; i < size; ++i) out[i] = out[i] / static_cast<T>(world().size());
  });
  return result;
}

TEST_CASE("all_reduce adds in the order of the ranks, to the last bit", "[collectives]") {
  for (const DType dtype : kArithmetic) {
    for (const std::int64_t size : kSizes) {
      for (const Reduction op : {Reduction::sum, Reduction::mean, Reduction::max, Reduction::min}) {
        if (op == Reduction::mean && !is_floating_point(dtype)) continue;
        CAPTURE(name(dtype), size, static_cast<int>(op));
        const Tensor data = sample(dtype, size, world().rank());
        world().all_reduce(data, op)->wait();
        REQUIRE(same_bits(data, serial_reduction(dtype, size, op)));
      }
    }
  }
}

TEST_CASE("NaN wins maximum and minimum", "[collectives]") {
  for (const Reduction op : {Reduction::max, Reduction::min}) {
    for (int rank = 0; rank < world().size(); ++rank) {
      const double mine = world().rank() == rank ? std::nan("") : 1.0;
      const Tensor data = full({3}, mine);
      world().all_reduce(data, op)->wait();
      for (const double value : data.to_vector()) REQUIRE(std::isnan(value));
    }
  }
}

TEST_CASE("broadcast copies any type from any root", "[collectives]") {
  for (const DType dtype : kAll) {
    for (const std::int64_t size : kSizes) {
      const int root = static_cast<int>(size % world().size());
      CAPTURE(name(dtype), size, root);
      const Tensor data = sample(dtype, size, world().rank());
      world().broadcast(data, root)->wait();
      REQUIRE(same_bits(data, sample(dtype, size, root)));
    }
  }
}

TEST_CASE("all_gather lays the parts one after the other", "[collectives]") {
  for (const DType dtype : kAll) {
    for (const std::int64_t size : kSizes) {
      CAPTURE(name(dtype), size);
      const Tensor whole = empty({world().size() * size}, {.dtype = dtype});
      world().all_gather(sample(dtype, size, world().rank()), whole)->wait();
      for (int rank = 0; rank < world().size(); ++rank) {
        REQUIRE(
            same_bits(whole.slice(0, rank * size, (rank + 1) * size), sample(dtype, size, rank)));
      }
    }
  }
}

TEST_CASE("all_gather works in place", "[collectives]") {
  const int rank = world().rank();
  const Tensor whole = empty({world().size() * 3});
  const Tensor part = whole.slice(0, rank * 3, rank * 3 + 3);
  part.fill_(rank);
  world().all_gather(part, whole)->wait();
  for (int i = 0; i < 3 * world().size(); ++i)
    REQUIRE(whole.to_vector()[static_cast<std::size_t>(i)] == i / 3);
}

TEST_CASE("reduce_scatter leaves each rank its part of the reduction", "[collectives]") {
  for (const DType dtype : kArithmetic) {
    for (const std::int64_t part_size : {0, 1, 7, 3001, 400009}) {
      CAPTURE(name(dtype), part_size);
      const std::int64_t size = part_size * world().size();
      const Tensor part = empty({part_size}, {.dtype = dtype});
      world().reduce_scatter(sample(dtype, size, world().rank()), part)->wait();
      const std::int64_t begin = world().rank() * part_size;
      REQUIRE(same_bits(
          part, serial_reduction(dtype, size, Reduction::sum).slice(0, begin, begin + part_size)));
    }
  }
}

TEST_CASE("tensors may be dense in any order of their dimensions", "[collectives]") {
  const Tensor image = sample(f32, 2 * 3 * 4 * 5, world().rank()).reshape({2, 3, 4, 5});
  const Tensor nhwc = image.channels_last().clone();
  world().all_reduce(nhwc)->wait();
  world().all_reduce(image)->wait();
  REQUIRE(nhwc.is_channels_last());
  REQUIRE(nhwc.to_vector() == image.to_vector());
}

TEST_CASE("texts of any length are gathered", "[collectives]") {
  const auto text = [](int rank) {
    return std::string(static_cast<std::size_t>(rank * rank * 1000), static_cast<char>('a' + rank));
  };
  const std::vector<std::string> texts = world().all_gather_text(text(world().rank()));
  REQUIRE(texts.size() == static_cast<std::size_t>(world().size()));
  for (int rank = 0; rank < world().size(); ++rank) {
    REQUIRE(texts[static_cast<std::size_t>(rank)] == text(rank));
  }
  REQUIRE(world().all_gather_text("").front().empty());
}

TEST_CASE("collectives run in the order of the calls", "[collectives]") {
  const Tensor data = ones({70000});
  std::vector<WorkPtr> works;
  for (int i = 0; i < 5; ++i) {
    works.push_back(world().all_reduce(data));
    works.push_back(world().broadcast(data, 0));
  }
  works.back()->wait();
  for (const WorkPtr& work : works) REQUIRE(done_in_stream(work));
  REQUIRE(element(data, 69999) == std::pow(world().size(), 5));
}

TEST_CASE("results do not depend on which thread called first", "[collectives]") {
  // The thread's calls enter the queue before ours, because it says when; their waits interleave.
  for (int round = 0; round < 20; ++round) {
    const Tensor theirs = full({20000}, world().rank());
    const Tensor ours = full({1000}, world().rank() + 1);
    std::vector<WorkPtr> works;
    std::atomic<bool> called{false};
    std::thread other([&] {
      for (int i = 0; i < 4; ++i) works.push_back(world().all_reduce(theirs, Reduction::max));
      called = true;
      for (const WorkPtr& work : works) work->wait();
    });
    while (!called) std::this_thread::yield();
    world().all_reduce(ours)->wait();
    other.join();
    const int size = world().size();
    REQUIRE(element(theirs, 0) == size - 1);
    REQUIRE(element(ours, 999) == size * (size + 1) / 2);
  }
}

TEST_CASE("a tensor may be released or dropped while its collective is in flight",
          "[collectives][use]") {
  const int size = world().size();
  const bool is_last = world().rank() == size - 1;
  const auto all_are = [](const Tensor& tensor, int expected) {
    const std::vector<double> values = tensor.to_vector();
    return std::all_of(values.begin(), values.end(),
                       [&](double value) { return value == expected; });
  };
  world().barrier();
  if (is_last) std::this_thread::sleep_for(200ms);

  const Tensor data = ones({300000});
  const WorkPtr reducing = world().all_reduce(data);
  if (is_last) {
    reducing->wait();
    REQUIRE(all_are(data, size));
  } else {
    data.storage().release();  // waits: the last rank needs these bytes
    REQUIRE(done_in_stream(reducing));
    REQUIRE(data.storage().released());
  }

  const Tensor whole = empty({300000 * size});
  WorkPtr gathering;
  if (is_last) {
    std::this_thread::sleep_for(200ms);
    gathering = world().all_gather(full({300000}, 3), whole);
  } else {
    const Tensor part = full({300000}, 3);
    gathering = world().all_gather(part, whole);
    part.storage().release();  // what is only read counts, too
    REQUIRE(done_in_stream(gathering));
  }
  gathering->wait();
  REQUIRE(all_are(whole, 3));
}

TEST_CASE("a finished collective leaves nothing behind", "[collectives][use]") {
  world().barrier();
  const std::int64_t before = memory_stats(default_device()).total.current;
  for (int round = 0; round < 3; ++round) {
    const Tensor data = ones({5000});
    const WorkPtr work = world().all_reduce(data);
    world().all_reduce(data);
    world().all_reduce(data)->wait();
    REQUIRE(data.storage().use_count() == 1);
  }
  REQUIRE(memory_stats(default_device()).total.current == before);
}

TEST_CASE("tensors that do not fit throw at the call", "[collectives]") {
  const Tensor matrix = zeros({4, 6});
  const Tensor gaps = matrix.slice(1, 0, 3);
  CHECK_THROWS_WITH(world().all_reduce(gaps), Contains("all_reduce") && Contains("gaps"));
  CHECK_THROWS_WITH(world().broadcast(gaps), Contains("broadcast"));
  CHECK_THROWS_WITH(world().broadcast(matrix, world().size()), Contains("no rank"));
  CHECK_THROWS_WITH(world().all_reduce(zeros({2}, {.dtype = u8})), Contains("u8"));
  CHECK_THROWS_WITH(world().all_reduce(zeros({2}, {.dtype = i32}), Reduction::mean),
                    Contains("mean"));
  CHECK_THROWS_WITH(world().all_gather(zeros({2}), zeros({2 * world().size() + 1})),
                    Contains("all_gather"));
  CHECK_THROWS_WITH(world().all_reduce(Tensor()), Contains("undefined"));
  CHECK_THROWS_WITH(world().all_reduce(gaps, Reduction::sum, "the mean loss"),
                    Contains("all_reduce (the mean loss): "));
  world().barrier();
}

TEST_CASE("a deadline names the collective and who is missing; the wait may be taken up again",
          "[collectives][deadline]") {
  if (world().size() == 1) return;
  const int last = world().size() - 1;
  world().barrier();
  const Tensor data = ones({123});
  WorkPtr work;
  if (world().rank() == last) {
    std::this_thread::sleep_for(1500ms);
    work = world().all_reduce(data);
  } else {
    work = world().all_reduce(data, Reduction::sum, "a test");
    CHECK_FALSE(work->done());
    std::string message;
    try {
      work->wait(200ms);
    } catch (const Error& error) {
      message = error.what();
    }
    CHECK_THAT(message, Contains("all_reduce #") && Contains("(123 f32: a test)") &&
                            Contains("on rank " + std::to_string(world().rank()) + " of " +
                                     std::to_string(world().size())) &&
                            Contains("after 0.2 s") &&
                            Contains("waits for rank " + std::to_string(last)));
  }
  work->wait();
  REQUIRE(element(data, 122) == world().size());
}

}  // namespace
}  // namespace minidl
