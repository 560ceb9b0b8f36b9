// A program that ends in every way it should not; tests/dist/failures.sh watches what becomes of
// it.
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <map>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>

#include "minidl/core/ops/softmax.h"
#include "minidl/dist/ddp.h"
#include "minidl/dist/run.h"
#include "minidl/kernels/common/error.h"
#include "minidl/nn/modules/linear.h"
#include "tests/device.h"

namespace {

using namespace minidl;

void compute_for(std::chrono::seconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
  }
}

void collectives_for_ever(Communicator& world) {
  const Tensor data = ones({100000});
  for (;;) world.all_reduce(data)->wait();
}

bool is_last(const dist::Context& world) {
  return world.rank() == world.size() - 1;
}

struct TwoLayers : nn::Module<TwoLayers> {
  nn::Linear hidden{*this, "hidden", {.in = 4, .out = 8}};
  nn::Linear head{*this, "head", {.in = 8, .out = 2}};
  Tensor forward(const Tensor& x) { return head(hidden(x)); }
};

// Three steps, of which the last rank does two.
void train_unevenly(dist::Context& world) {
  TwoLayers net;
  dist::DataParallel model(net, world);
  for (int step = 0; step < 3; ++step) {
    const Tensor loss = model(ones({2, 4})).sum();
    if (step != 1 || !is_last(world)) loss.backward();
  }
}

// The others start a collective and then have no time for it; the last one never calls it.
void start_and_sleep(dist::Context& world) {
  const Tensor data = ones({5});
  if (!is_last(world)) {
    world.communicator().all_reduce(data, Reduction::sum, "a sum that nobody asks for");
  }
  std::this_thread::sleep_for(std::chrono::seconds(60));
}

// On a GPU, what is wrong with the label comes out in the collective.
void sum_losses(dist::Context& world) {
  const Tensor label = full({1}, is_last(world) ? 7 : 1, {.dtype = i64});
  const Tensor loss = cross_entropy(zeros({1, 3}), label);
  world.communicator().all_reduce(loss, Reduction::sum, "the loss")->wait();
  if (is_last(world)) throw Error("the loss of a wrong label was sent");
}

using Program = void (*)(dist::Context&);

const std::map<std::string, Program> kPrograms{
    {"succeed", [](dist::Context& world) { world.communicator().barrier(); }},
    {"all throw", [](dist::Context&) { throw Error("no folder called 'data'"); }},
    {"main throws",
     [](dist::Context& world) {
       if (world.is_main()) throw Error("only the main rank fails");
       collectives_for_ever(world);
     }},
    {"last throws",
     [](dist::Context& world) {
       if (is_last(world)) throw Error("only the last rank fails");
       collectives_for_ever(world);
     }},
    {"last throws while others compute",
     [](dist::Context& world) {
       if (is_last(world)) throw Error("only the last rank fails");
       compute_for(std::chrono::seconds(30));
     }},
    {"out of memory", [](dist::Context&) { throw std::bad_alloc(); }},
    {"throw an int", [](dist::Context&) { throw 1; }},
    {"last never joins",
     [](dist::Context& world) {
       if (is_last(world)) compute_for(std::chrono::seconds(30));
       world.communicator().barrier();
     }},
    {"last returns early",
     [](dist::Context& world) {
       if (!is_last(world)) world.communicator().barrier();
     }},
    {"last is slow",
     [](dist::Context& world) {
       const Tensor data = ones({5});
       for (int i = 0; i < 3; ++i) {
         if (is_last(world)) std::this_thread::sleep_for(std::chrono::milliseconds(800));
         world.communicator().all_reduce(data);
       }
     }},
    {"last has a label that does not exist", sum_losses},
    {"last leaves out a backward", train_unevenly},
    {"last leaves out a collective while others sleep", start_and_sleep},
    {"last exits with 0",
     [](dist::Context& world) {
       if (is_last(world)) std::exit(0);
       collectives_for_ever(world);
     }},
    {"last exits with 3",
     [](dist::Context& world) {
       if (is_last(world)) std::exit(3);
       collectives_for_ever(world);
     }},
    {"last is killed",
     [](dist::Context& world) {
       if (is_last(world)) kill(getpid(), SIGKILL);
       collectives_for_ever(world);
     }},
};

void start(dist::Context& world) {
  set_default_device(test::test_device());
  const std::string name = world.arguments().empty() ? "" : world.arguments().front();
  const auto program = kPrograms.find(name);
  if (program == kPrograms.end()) throw Error("there is no program called '" + name + "'");
  program->second(world);
}

}  // namespace

int main(int argc, char** argv) {
  return minidl::dist::run(argc, argv, start);
}
