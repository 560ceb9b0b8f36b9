// A communicator over MPI. Not part of the public interface: programs get theirs from dist::run
// or dist::mpi_context.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "minidl/core/communicator.h"

namespace minidl::dist {

/// Processes of an MPI job. One thread makes every MPI call and runs the collectives one after the
/// other.
class MpiCommunicator : public Communicator {
 public:
  /// The processes that mpirun started, from MPI_Init to MPI_Finalize; every rank must join. A
  /// collective that takes longer than `timeout` fails, and all later ones with it. If nobody is
  /// waiting to be told, `report` is called with the reason, on another thread, and then the job is
  /// ended. Throws Error, and always where minidl was built without MPI.
  static std::unique_ptr<MpiCommunicator> world(
      std::chrono::milliseconds timeout,
      const std::function<void(const std::string& reason)>& report);

  /// The processes of a communicator, an MPI_Comm that nobody else uses and that is freed in the
  /// end. MPI is the program's, at MPI_THREAD_MULTIPLE: it is neither finalised nor aborted, and a
  /// failure is told to those who wait, and to nobody else.
  static std::unique_ptr<MpiCommunicator> adopt(const void* communicator,
                                                std::chrono::milliseconds timeout);

  /// Runs what is still queued, waits for the other ranks to get here, and ends MPI. Throws Error
  /// if they do not within the timeout or a collective fails. A communicator that is destroyed
  /// without it leaves MPI running: the launcher then takes the job for failed.
  virtual void finalize() = 0;

  /// Asks the launcher to end all processes of the job, this one too, and returns at once.
  virtual void abort(int exit_code) noexcept = 0;
};

}  // namespace minidl::dist
