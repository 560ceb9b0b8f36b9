// The contract: buckets are reduced while backward runs. A bucket is sent when its last gradient is
// there, and it arrives without any help from the thread that computes; all ranks send the same
// buckets in the same order. Gradients are views into the buckets and stay there, so nothing is
// copied before or after. A rank that waits for another one sleeps.

#include <time.h>

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/softmax.h"
#include "minidl/core/random.h"
#include "minidl/dist/ddp.h"
#include "minidl/nn/modules/linear.h"
#include "minidl/nn/optim/adam.h"
#include "minidl/nn/optim/sgd.h"
#include "tests/catch.h"
#include "tests/dist/recording_communicator.h"
#include "tests/dist/world.h"

namespace minidl {
namespace {

using namespace std::chrono_literals;
using test::RecordingCommunicator;
using test::world;

// Says when backward has come as far as the first layer: all other gradients are there by then.
struct Net : nn::Module<Net> {
  nn::Linear fc1{*this, "fc1", {.in = 6, .out = 50}};
  nn::Linear fc2{*this, "fc2", {.in = 50, .out = 40}};
  nn::Linear fc3{*this, "fc3", {.in = 40, .out = 4}};
  std::function<void()> at_first_layer = [] {};

  Tensor forward(const Tensor& x) {
    const Tensor hidden = fc1(x);
    hidden.register_hook([this](const Tensor&) {
      at_first_layer();
      return Tensor();
    });
    return fc3(relu(fc2(relu(hidden))));
  }
};

Tensor loss_of(dist::DataParallel<Net>& model) {
  return cross_entropy(model(randn({5, 6})), tensor({0, 1, 2, 3, 0}, {5}, {.dtype = i64}));
}

// Every parameter alone in its bucket.
dist::DataParallelOptions small_buckets() {
  return {.buckets = {.bucket_bytes = 1, .first_bucket_bytes = 1}};
}

double process_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

TEST_CASE("overlap: a bucket is sent as soon as its gradients are there", "[contract][overlap]") {
  if (world().size() == 1) return;
  RecordingCommunicator ranks(world());
  Net net;
  dist::DataParallel model(net, ranks, small_buckets());
  std::vector<std::string> events;
  ranks.on_call([&](const RecordingCommunicator::Call& call) { events.push_back(call.purpose); });
  net.at_first_layer = [&] { events.emplace_back("backward reaches the first layer"); };

  loss_of(model).backward();

  REQUIRE(events == std::vector<std::string>{
                        "gradient of fc3.bias, bucket 1 of 6",
                        "gradient of fc3.weight, bucket 2 of 6",
                        "gradient of fc2.bias, bucket 3 of 6",
                        "gradient of fc2.weight, bucket 4 of 6",
                        "backward reaches the first layer",
                        "gradient of fc1.bias, bucket 5 of 6",
                        "gradient of fc1.weight, bucket 6 of 6",
                    });
}

TEST_CASE("overlap: a reduction ends while the computing thread is inside backward",
          "[contract][overlap]") {
  if (world().size() == 1) return;
  RecordingCommunicator ranks(world());
  Net net;
  dist::DataParallel model(net, ranks, small_buckets());
  ranks.forget_calls();
  int done_inside_backward = 0;
  net.at_first_layer = [&] {
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    for (const RecordingCommunicator::Call& call : ranks.calls()) {
      while (!call.work->done() && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::sleep_for(1ms);
      }
      done_inside_backward += call.work->done() ? 1 : 0;
    }
  };

  loss_of(model).backward();

  REQUIRE(done_inside_backward == 4);
  REQUIRE(ranks.calls().size() == 6);
}

TEST_CASE("overlap: all ranks send the same buckets in the same order", "[contract][overlap]") {
  RecordingCommunicator ranks(world());
  Net net;
  dist::DataParallel model(net, ranks, {.buckets = {.bucket_bytes = 2000}});
  std::string sent;
  ranks.on_call([&](const RecordingCommunicator::Call& call) {
    sent += call.op + " of " + call.purpose + "\n";
  });
  for (int step = 0; step < 3; ++step) loss_of(model).backward();

  const std::string mine = sent;
  const std::vector<std::string> all = world().communicator().all_gather_text(mine);
  for (const std::string& other : all) REQUIRE(other == mine);
}

TEST_CASE("overlap: gradients are views into the buckets and stay there", "[contract][overlap]") {
  if (world().size() == 1) return;
  Net net;
  dist::DataParallel model(net, world(), {.buckets = {.first_bucket_bytes = 700}});
  REQUIRE(model.bucket_sizes() == std::vector<std::int64_t>{164, 2390});
  std::map<std::string, const void*> places;
  const auto check_places = [&] {
    for (const NamedTensor& parameter : model.named_parameters()) {
      const Tensor grad = parameter.tensor.grad();
      CAPTURE(parameter.name);
      REQUIRE(grad.defined());
      const void*& place = places.try_emplace(parameter.name, grad.raw_data()).first->second;
      REQUIRE(grad.raw_data() == place);
    }
    // fc3 went into the first bucket, everything else into the second.
    REQUIRE(net.fc3.weight.grad().storage() == net.fc3.bias.grad().storage());
    REQUIRE(net.fc1.weight.grad().storage() == net.fc2.bias.grad().storage());
    REQUIRE_FALSE(net.fc1.weight.grad().storage() == net.fc3.weight.grad().storage());
  };

  optim::SGD sgd(model.parameters(), {.lr = 0.1, .momentum = 0.9});
  optim::AdamW adamw(model.parameters(), {.lr = 0.1});
  loss_of(model).backward();
  check_places();
  sgd.step();
  check_places();
  sgd.zero_grad();
  REQUIRE_FALSE(net.fc1.weight.grad().defined());
  loss_of(model).backward();
  check_places();
  adamw.step();
  adamw.zero_grad();
  loss_of(model).backward();
  loss_of(model).backward();
  check_places();
}

TEST_CASE("overlap: who waits for another rank sleeps", "[contract][overlap]") {
  if (world().size() == 1) return;
  const bool is_late = world().rank() == world().size() - 1;
  const Tensor data = ones({100000});
  world().communicator().barrier();
  std::this_thread::sleep_for(50ms);  // threads of OpenMP that still spin come to rest
  if (is_late) {
    std::this_thread::sleep_for(500ms);
    world().communicator().all_reduce(data)->wait();
    return;
  }
  const double before = process_seconds();
  world().communicator().all_reduce(data)->wait();
  const double used = process_seconds() - before;
  CAPTURE(used);
  REQUIRE(used < 0.2);  // of 0.5 s, in which a waiting MPI call would have used all
}

}  // namespace
}  // namespace minidl
