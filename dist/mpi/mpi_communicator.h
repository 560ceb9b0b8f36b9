// A communicator over MPI. Not part of the public interface: programs get theirs from dist::run.
#pragma once

#include <chrono>
#include <memory>

#include "minidl/core/communicator.h"

namespace minidl::dist {

/// The processes that mpirun started. One thread makes every MPI call, from MPI_Init to
/// MPI_Finalize, and runs the collectives one after the other.
class MpiCommunicator : public Communicator {
 public:
  /// Joins the job; every rank must. `timeout` is how long Work::wait waits unless told otherwise.
  /// Throws Error, and always where minidl was built without MPI.
  static std::unique_ptr<MpiCommunicator> world(std::chrono::milliseconds timeout);

  /// Runs what is still queued, waits for the other ranks to get here, and ends MPI. Throws Error
  /// if they do not within the timeout or a collective fails. A communicator that is destroyed
  /// without it leaves MPI running: the launcher then takes the job for failed.
  virtual void finalize() = 0;

  /// Asks the launcher to end all processes of the job, this one too, and returns at once.
  virtual void abort(int exit_code) noexcept = 0;
};

}  // namespace minidl::dist
