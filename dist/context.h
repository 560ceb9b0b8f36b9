// What a program that runs under dist::run knows about its job.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "minidl/core/communicator.h"
#include "minidl/dist/launch.h"

namespace minidl::dist {

/// This process' place in the job and its communicator. Converts to Communicator&, so it can be
/// passed wherever one is wanted.
class Context {
 public:
  /// `communicator` must outlive the context.
  Context(Communicator& communicator, const LaunchEnv& launch, CpuBudget cpu,
          std::vector<std::string> arguments)
      : communicator_(communicator),
        launch_(launch),
        cpu_(std::move(cpu)),
        arguments_(std::move(arguments)) {}
  /// The communicator lives as long as the context and its copies.
  Context(const std::shared_ptr<Communicator>& communicator, const LaunchEnv& launch, CpuBudget cpu)
      : Context(*communicator, launch, std::move(cpu), {}) {
    owned_ = communicator;
  }

  int rank() const { return communicator_.rank(); }
  int size() const { return communicator_.size(); }
  int local_rank() const { return launch_.local_rank; }  ///< among the ranks on this machine
  int local_size() const { return launch_.local_size; }  ///< ranks on this machine
  bool is_main() const { return communicator_.is_main(); }

  Communicator& communicator() const { return communicator_; }
  operator Communicator&() const { return communicator_; }  // NOLINT(google-explicit-constructor)

  /// The command line without the program's name.
  const std::vector<std::string>& arguments() const { return arguments_; }

  /// One line for the start of a log: "rank 0 of 2; 4 cores for 2 ranks: 2 threads each".
  std::string describe() const;

 private:
  std::shared_ptr<Communicator> owned_;  // null if somebody else's
  Communicator& communicator_;
  LaunchEnv launch_;
  CpuBudget cpu_;
  std::vector<std::string> arguments_;
};

}  // namespace minidl::dist
