// A program that uses MPI itself and lends minidl its communicators: this one. Its main starts and
// ends MPI, and looks at what is said before and after.
#define CATCH_CONFIG_RUNNER
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "minidl/core/factories.h"
#include "minidl/core/ops/softmax.h"
#include "minidl/core/random.h"
#include "minidl/core/threads.h"
#include "minidl/dist/ddp.h"
#include "minidl/dist/mpi.h"
#include "minidl/kernels/common/error.h"
#include "minidl/nn/modules/linear.h"
#include "minidl/nn/optim/sgd.h"
#include "tests/catch.h"

namespace minidl {
namespace {

using namespace std::chrono_literals;

int world_rank() {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}

int world_size() {
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  return size;
}

// MPI as the program uses it.
int sum_over_world(int value) {
  int sum = 0;
  MPI_Allreduce(&value, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  return sum;
}

double sum_over(Communicator& ranks, double value) {
  const Tensor sum = tensor({value}, {1}, {.dtype = f64});
  ranks.all_reduce(sum)->wait();
  return sum.item();
}

// The parameters after five steps on batches of `seed`, of which each rank has its part.
// With `rows` it is one process that has them all.
std::vector<double> train(Communicator& ranks, std::uint64_t seed, std::int64_t rows = 0) {
  manual_seed(seed);
  nn::Linear net({.in = 5, .out = 3});
  net.to(f64);
  dist::DataParallel model(net, ranks);
  optim::SGD optimizer(model.parameters(), {.lr = 0.1, .momentum = 0.9});
  for (int step = 0; step < 5; ++step) {
    const std::int64_t all = rows > 0 ? rows : 2 * ranks.size();
    const Tensor x = randn({all, 5}, {.dtype = f64});
    const Tensor y = randint(3, {all});
    const std::int64_t begin = rows > 0 ? 0 : 2 * ranks.rank();
    const std::int64_t end = rows > 0 ? rows : begin + 2;
    optimizer.zero_grad();
    cross_entropy(model(x.slice(0, begin, end)), y.slice(0, begin, end)).backward();
    optimizer.step();
  }
  std::vector<double> values;
  for (const Tensor& parameter : net.parameters()) {
    for (const double value : parameter.to_vector()) values.push_back(value);
  }
  return values;
}

void check_close(const std::vector<double>& actual, const std::vector<double>& expected) {
  REQUIRE(actual.size() == expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    CHECK(actual[i] == Approx(expected[i]).epsilon(1e-9).margin(1e-12));
  }
}

TEST_CASE("mpi_context: trains on the program's communicator", "[mpi]") {
  {
    const dist::Context world = dist::mpi_context(MPI_COMM_WORLD);
    CHECK(world.rank() == world_rank());
    CHECK(world.size() == world_size());
    CHECK(world.local_size() >= 1);
    CHECK(world.local_rank() < world.local_size());
    CHECK_THAT(world.describe(), Contains("CPU threads: "));
    CHECK(sum_over(world, world.rank() + 1) == world.size() * (world.size() + 1) / 2.0);
    // While minidl's messages are on their way the program sends its own.
    const Tensor data = ones({1 << 20});
    const WorkPtr work = world.communicator().all_reduce(data);
    CHECK(sum_over_world(2) == 2 * world_size());
    work->wait();
    CHECK(data.select(0, 5).item() == world.size());
    SingleProcess alone;
    check_close(train(world, 3), train(alone, 3, 2 * world.size()));
  }
  CHECK(sum_over_world(1) == world_size());
}

TEST_CASE("mpi_context: halves of the world train by themselves", "[mpi]") {
  const int color = world_rank() % 2;
  MPI_Comm half = MPI_COMM_NULL;
  MPI_Comm_split(MPI_COMM_WORLD, color, world_rank(), &half);
  int expected_size = 0;
  MPI_Comm_size(half, &expected_size);
  const dist::Context ranks = dist::mpi_context(half);
  MPI_Comm_free(&half);  // minidl has its own by now
  CHECK(ranks.size() == expected_size);
  CHECK(ranks.rank() == world_rank() / 2);
  CHECK(sum_over(ranks, world_rank()) == [&] {
    int sum = 0;
    for (int rank = color; rank < world_size(); rank += 2) sum += rank;
    return sum;
  }());
  const auto seed = static_cast<std::uint64_t>(10 + color);
  SingleProcess alone;
  check_close(train(ranks, seed), train(alone, seed, 2 * ranks.size()));
  // Both halves and the whole, at once.
  const dist::Context world = dist::mpi_context(MPI_COMM_WORLD);
  CHECK(sum_over(world, 1) == world_size());
  CHECK(sum_over(ranks, 1) == expected_size);
}

TEST_CASE("mpi_context: copies share a communicator, contexts do not", "[mpi]") {
  const dist::Context copy = [] {
    const dist::Context made = dist::mpi_context(MPI_COMM_WORLD);
    const dist::Context other = dist::mpi_context(MPI_COMM_WORLD);
    // In different orders on different ranks.
    const Tensor a = ones({3});
    const Tensor b = ones({3});
    const bool first = world_rank() % 2 == 0;
    const WorkPtr one = (first ? made : other).communicator().all_reduce(first ? a : b);
    const WorkPtr two = (first ? other : made).communicator().all_reduce(first ? b : a);
    one->wait();
    two->wait();
    CHECK(a.select(0, 0).item() == world_size());
    return made;
  }();
  CHECK(sum_over(copy, 1) == world_size());
}

TEST_CASE("mpi_context: threads are the program's unless it asks", "[mpi]") {
  set_num_threads(3);
  const dist::Context as_they_are = dist::mpi_context(MPI_COMM_WORLD);
  CHECK(num_threads() == 3);
  const dist::Context asked = dist::mpi_context(MPI_COMM_WORLD, {.threads = 1});
  CHECK(num_threads() == 1);
}

TEST_CASE("mpi_context: a late collective throws, and MPI goes on", "[mpi]") {
  if (world_size() == 1) return;
  const int last = world_size() - 1;
  {
    const dist::Context world = dist::mpi_context(MPI_COMM_WORLD, {.timeout = 500ms});
    if (world_rank() != last) {
      const Tensor data = ones({100});
      const auto text = "all_reduce #0 (100 f32: the loss) on rank " +
                        std::to_string(world_rank()) + " of " + std::to_string(world_size()) +
                        ": not finished after 0.5 s; waits for rank";
      CHECK_THROWS_WITH(world.communicator().all_reduce(data, Reduction::sum, "the loss")->wait(),
                        Contains(text));
      // So do all that follow.
      CHECK_THROWS_WITH(sum_over(world, 1), Contains("all_reduce #1") && Contains("#0"));
    }
    // Nobody waits for this one, and still nobody ends the job.
    if (world_rank() != last) world.communicator().all_reduce(ones({4}));
    std::this_thread::sleep_for(1s);
    CHECK(sum_over_world(1) == world_size());
  }
  const dist::Context again = dist::mpi_context(MPI_COMM_WORLD);
  CHECK(sum_over(again, 1) == world_size());
  CHECK(sum_over_world(1) == world_size());
}

TEST_CASE("mpi_context: an exception on every rank leaves MPI as it was", "[mpi]") {
  try {
    const dist::Context world = dist::mpi_context(MPI_COMM_WORLD);
    nn::Linear net({.in = 5, .out = 3});
    dist::DataParallel model(net, world);
    model(ones({2, 4}));
    FAIL("the shapes do not fit");
  } catch (const Error& error) {
    CHECK_THAT(error.what(), Contains("linear"));
  }
  CHECK(sum_over_world(1) == world_size());
}

TEST_CASE("mpi_context: misuse is explained", "[mpi]") {
  CHECK_THROWS_WITH(dist::mpi_context(MPI_COMM_NULL), Contains("MPI_COMM_NULL"));
  CHECK_THROWS_WITH(dist::mpi_context(MPI_COMM_WORLD, {.timeout = 0ms}),
                    Contains("MpiContextOptions::timeout: a timeout of 0 s is out of range"));
  CHECK_THROWS_WITH(dist::mpi_context(MPI_COMM_WORLD, {.threads = -1}), Contains("threads"));
  CHECK_THROWS_WITH(dist::detail::adopt(nullptr, 1, {}), Contains("another MPI than minidl"));
  if (world_size() == 1) return;
  // Two groups, and the bridge between them.
  MPI_Comm half = MPI_COMM_NULL;
  MPI_Comm bridge = MPI_COMM_NULL;
  const int color = world_rank() % 2;
  MPI_Comm_split(MPI_COMM_WORLD, color, 0, &half);
  MPI_Intercomm_create(half, 0, MPI_COMM_WORLD, 1 - color, 7, &bridge);
  CHECK_THROWS_WITH(dist::mpi_context(bridge), Contains("connects two groups"));
  MPI_Comm_free(&bridge);
  MPI_Comm_free(&half);
  // The last rank stays away.
  if (world_rank() != world_size() - 1) {
    CHECK_THROWS_WITH(dist::mpi_context(MPI_COMM_WORLD, {.timeout = 300ms}),
                      Contains("not all processes") && Contains("0.3 s"));
  }
  CHECK(sum_over_world(1) == world_size());
}

// What a refusal says; empty if there is none.
std::string refusal() {
  try {
    const dist::Context world = dist::mpi_context(MPI_COMM_WORLD);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

bool expect(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return true;
  std::printf("FAILED: '%s' does not contain '%s'\n", text.c_str(), part.c_str());
  return false;
}

}  // namespace
}  // namespace minidl

// With the argument "funneled" MPI gets a level that is too low.
int main(int argc, char** argv) {
  using minidl::expect;
  using minidl::refusal;
  const bool funneled = argc > 1 && std::strcmp(argv[1], "funneled") == 0;
  bool fine = expect(refusal(), "MPI is not initialised; call MPI_Init_thread");
  int level = 0;
  MPI_Init_thread(&argc, &argv, funneled ? MPI_THREAD_FUNNELED : MPI_THREAD_MULTIPLE, &level);
  if (funneled) {
    fine = expect(refusal(), "initialised with MPI_THREAD_FUNNELED, and minidl calls it") && fine;
  } else {
    // A failure on one rank would leave the others waiting.
    const char* arguments[] = {"test_mpi", "--abort"};
    fine = Catch::Session().run(2, arguments) == 0 && fine;
    if (!fine) MPI_Abort(MPI_COMM_WORLD, 1);
  }
  MPI_Finalize();
  fine = expect(refusal(), "MPI is finalised") && fine;
  return fine ? 0 : 1;
}
