// Runs the tests on every rank of a job. Rank 0 reports; another rank speaks up only if a test
// fails there. A failure anywhere fails the job.
#define CATCH_CONFIG_RUNNER
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "minidl/core/default_device.h"
#include "minidl/dist/run.h"
#include "minidl/kernels/common/error.h"
#include "tests/catch.h"
#include "tests/device.h"
#include "tests/dist/world.h"

namespace minidl::test {
namespace {

dist::Context* current_world = nullptr;

void run_tests(dist::Context& context) {
  current_world = &context;
  set_default_device(test_device());
  const std::filesystem::path report = std::filesystem::temp_directory_path() /
                                       ("minidl-test-dist." + std::to_string(getpid()) + ".txt");
  // Abort at the first failure: the other ranks would wait for this one in the next collective.
  std::vector<std::string> arguments{"test_dist", "--abort"};
  arguments.insert(arguments.end(), context.arguments().begin(), context.arguments().end());
  if (!context.is_main()) arguments.insert(arguments.end(), {"--out", report.string()});
  std::vector<const char*> argv;
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());

  Catch::Session session;
  const int failures = session.run(static_cast<int>(argv.size()), argv.data());
  if (failures != 0 && !context.is_main()) {
    std::cerr << std::ifstream(report).rdbuf() << std::flush;
  }
  std::filesystem::remove(report);
  if (failures != 0) throw Error("tests failed");
}

}  // namespace

dist::Context& world() {
  return *current_world;
}

}  // namespace minidl::test

int main(int argc, char** argv) {
  return minidl::dist::run(argc, argv, minidl::test::run_tests);
}
