// minidl called from threads that are not its own: a host program's std::threads, and the threads
// of an OpenMP region.

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <omp.h>

#include "minidl/core/factories.h"
#include "minidl/core/grad_mode.h"
#include "minidl/core/ops/pool.h"
#include "minidl/core/ops/softmax.h"
#include "minidl/core/random.h"
#include "minidl/core/threads.h"
#include "minidl/kernels/common/parallel.h"
#include "minidl/nn/modules/activation.h"
#include "minidl/nn/modules/batch_norm.h"
#include "minidl/nn/modules/conv.h"
#include "minidl/nn/modules/linear.h"
#include "minidl/nn/optim/sgd.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using Values = std::vector<double>;

namespace {

constexpr int kThreads = 6;

struct Net : nn::Module<Net> {
  nn::Conv2d conv1{*this, "conv1", {.in = 3, .out = 16, .kernel = 3, .padding = 1}};
  nn::BatchNorm2d bn{*this, "bn", 16};
  nn::Conv2d conv2{*this, "conv2", {.in = 16, .out = 16, .kernel = 3, .padding = 1}};
  nn::Linear fc{*this, "fc", {.in = 16 * 4 * 4, .out = 5}};

  Tensor forward(const Tensor& x) {
    const Tensor h = max_pool2d(conv2(relu(bn(conv1(x)))), {.kernel = {4, 4}});
    return fc(h.flatten(1));
  }
};

// What every thread works with, made before they start: they have the generator in common.
struct Work {
  Net net;
  Tensor x = randn({8, 3, 16, 16}).channels_last();
  Tensor y = randint(5, {8});
};

std::vector<std::unique_ptr<Work>> make_work(DType dtype) {
  manual_seed(minidl::test::test_seed());
  std::vector<std::unique_ptr<Work>> all;
  for (int i = 0; i < kThreads; ++i) {
    all.push_back(std::make_unique<Work>());
    all.back()->net.to(dtype);
    all.back()->x = all.back()->x.to(dtype);
  }
  return all;
}

Values train(Work& work) {
  optim::SGD sgd(work.net.parameters(), {.lr = 0.1, .momentum = 0.9});
  for (int step = 0; step < 4; ++step) {
    sgd.zero_grad();
    cross_entropy(work.net(work.x), work.y).backward();
    sgd.step();
  }
  Values values;
  for (const NamedTensor& entry : work.net.state_dict()) {
    for (const double value : entry.tensor.to_vector()) values.push_back(value);
  }
  return values;
}

void check_close(const Values& actual, const Values& expected, double allowed) {
  REQUIRE(actual.size() == expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (actual[i] == Approx(expected[i]).epsilon(allowed).margin(allowed)) continue;
    CAPTURE(i, actual[i], expected[i]);
    FAIL("they differ");
  }
}

void on_std_threads(const std::function<void(int)>& body) {
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(body, i);
  for (std::thread& thread : threads) thread.join();
}

void in_omp_region(const std::function<void(int)>& body) {
#pragma omp parallel for num_threads(kThreads) schedule(static, 1)
  for (int i = 0; i < kThreads; ++i) body(i);
}

// Threads of this process that there are now.
int threads_alive() {
  return static_cast<int>(
      std::distance(std::filesystem::directory_iterator("/proc/self/task"), {}));
}

struct Restore {
  int threads = num_threads();
  ~Restore() { set_num_threads(threads); }
};

}  // namespace

TEST_CASE("host threads: each trains its own model as if alone", "[threads][cpu]") {
  INFO("MINIDL_TEST_SEED=" << minidl::test::test_seed());
  for (const DType dtype : {f64, f32}) {
    std::vector<Values> expected;
    for (const auto& work : make_work(dtype)) expected.push_back(train(*work));
    for (const auto& run : {on_std_threads, in_omp_region}) {
      const auto all = make_work(dtype);
      std::vector<Values> actual(kThreads);
      run([&](int i) {
        actual[static_cast<std::size_t>(i)] = train(*all[static_cast<std::size_t>(i)]);
      });
      for (std::size_t i = 0; i < expected.size(); ++i) {
        check_close(actual[i], expected[i], dtype == f64 ? 1e-10 : 1e-3);
      }
    }
  }
}

TEST_CASE("host threads: many evaluate one model", "[threads][cpu]") {
  const auto all = make_work(f32);
  Net& net = all.front()->net;
  net.eval();
  const auto evaluate = [&](int i) {
    const NoGradGuard no_grad;  // of this thread only
    Values values;
    for (int repeat = 0; repeat < 10; ++repeat) {
      values = net(all[static_cast<std::size_t>(i)]->x).to_vector();
    }
    return values;
  };
  std::vector<Values> expected;
  for (int i = 0; i < kThreads; ++i) expected.push_back(evaluate(i));
  for (const auto& run : {on_std_threads, in_omp_region}) {
    std::vector<Values> actual(kThreads);
    run([&](int i) { actual[static_cast<std::size_t>(i)] = evaluate(i); });
    for (std::size_t i = 0; i < expected.size(); ++i) check_close(actual[i], expected[i], 1e-5);
  }
  CHECK(grad_enabled());
}

TEST_CASE("host threads: an OpenMP region gets no threads within threads", "[threads][cpu]") {
  const Restore restore;
  set_num_threads(4);
  const auto all = make_work(f32);
  in_omp_region([](int) {});  // starts the region's team
  const int before = threads_alive();
  std::atomic<int> inner{1};
  in_omp_region([&](int i) {
    train(*all[static_cast<std::size_t>(i)]);
    kernels::parallel_for(1000, 1, [&](std::int64_t begin, std::int64_t end) {
      if (end - begin != 1000) inner = 2;  // it was split
    });
  });
  CHECK(inner == 1);
  CHECK(threads_alive() <= before);
  train(*all.front());  // outside it is four again
  CHECK(num_threads() == 4);
}

TEST_CASE("host threads: OpenMP's number of threads is minidl's", "[threads][cpu]") {
  const Restore restore;
  const auto pieces = [] {
    std::atomic<int> count{0};
    kernels::parallel_for(1000, 1, [&](std::int64_t, std::int64_t) { ++count; });
    return count.load();
  };
  for (const int threads : {1, 3, 2}) {
    omp_set_num_threads(threads);
    CHECK(num_threads() == threads);
    CHECK(pieces() == threads);
    set_num_threads(threads + 1);
    CHECK(omp_get_max_threads() == threads + 1);
    CHECK(pieces() == threads + 1);
  }
  // The setting is each thread's own.
  set_num_threads(2);
  int others = 0;
  std::thread([&] {
    set_num_threads(5);
    others = num_threads();
  }).join();
  CHECK(others == 5);
  CHECK(num_threads() == 2);
}

TEST_CASE("host threads: OMP_NUM_THREADS is what every thread starts with", "[threads][cpu]") {
  const char* const text = std::getenv("OMP_NUM_THREADS");
  if (text == nullptr) return;  // ctest sets it
  int there = 0;
  std::thread([&] { there = num_threads(); }).join();
  CHECK(there == std::atoi(text));
}
