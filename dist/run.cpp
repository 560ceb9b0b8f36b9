#include "minidl/dist/run.h"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <new>
#include <string>
#include <thread>

#include "minidl/dist/mpi/mpi_communicator.h"
#include "minidl/dist/timeout.h"
#include "minidl/kernels/common/check.h"

namespace minidl::dist {
namespace {

constexpr int kFailure = 1;
// All ranks often fail alike (a missing folder). The others give rank 0 this long to say so and to
// end the job, so that it is said once. The launcher does the ending: on a busy machine that takes
// it more than a second.
constexpr std::chrono::seconds kMainSpeaksFirst{3};
constexpr std::chrono::seconds kTimeToAbort{1};

// In one piece, so that the lines of several ranks do not mix. Rank 0 does not wait.
void print_error(const LaunchEnv& launch, const std::string& error) {
  if (launch.rank > 0) std::this_thread::sleep_for(kMainSpeaksFirst);
  const std::string line = launch.size > 1 ? fmt::format("[rank {}] {}\n", launch.rank, error)
                                           : fmt::format("error: {}\n", error);
  std::cout.flush();
  std::fflush(stdout);
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fflush(stderr);
}

std::unique_ptr<MpiCommunicator> join_world(const LaunchEnv& launch, const RunOptions& options) {
  if (launch.size == 1) return nullptr;
  auto world =
      MpiCommunicator::world(effective_timeout(options.timeout, "RunOptions::timeout"),
                             [launch](const std::string& reason) { print_error(launch, reason); });
  check(world->size() == launch.size,
        "the launcher started {} processes but MPI knows {}: is this mpirun of the MPI that minidl "
        "was built with?",
        launch.size, world->size());
  return world;
}

std::string current_exception_text() {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return "out of memory";
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "an exception that is not a std::exception";
  }
}

// Ends every process of the job. Does not return, so that nothing waits for a collective that will
// never finish while destructors run.
[[noreturn]] void end_job(MpiCommunicator& world) {
  world.abort(kFailure);
  std::this_thread::sleep_for(kTimeToAbort);
  std::_Exit(kFailure);
}

}  // namespace

std::string Context::describe() const {
  if (size() == 1) return cpu_.summary;
  return fmt::format("rank {} of {}; {}", rank(), size(), cpu_.summary);
}

int run(int argc, char** argv, const std::function<void(Context&)>& body,
        const RunOptions& options) {
  LaunchEnv launch;
  std::unique_ptr<MpiCommunicator> world;
  SingleProcess alone;
  std::string error;
  try {
    launch = read_launch_env();
    const CpuBudget cpu = apply_cpu_budget(launch, options.threads);
    world = join_world(launch, options);
    Communicator& communicator = world ? static_cast<Communicator&>(*world) : alone;
    Context context(communicator, launch, cpu, {argv + (argc > 0 ? 1 : 0), argv + argc});
    body(context);
    if (world) world->finalize();
    return 0;
  } catch (...) {
    error = current_exception_text();
  }

  print_error(launch, error);
  if (world) end_job(*world);
  return kFailure;
}

}  // namespace minidl::dist
