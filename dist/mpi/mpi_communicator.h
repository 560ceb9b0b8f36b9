// A communicator over MPI. Not part of the public interface: programs get theirs from dist::run.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "minidl/core/communicator.h"

namespace minidl::dist {

/// The processes that mpirun started. One thread makes every MPI call, from MPI_Init to
/// MPI_Finalize, and runs the collectives one after the other.
class MpiCommunicator : public Communicator {
 public:
  /// Joins the job; every rank must. A collective that takes longer than `timeout` fails, and all
  /// later ones with it. If nobody is waiting to be told, `report` is called with the reason, on
  /// another thread, and then the job is ended. Throws Error, and always where minidl was built
  /// without MPI.
  static std::unique_ptr<MpiCommunicator> world(
      std::chrono::milliseconds timeout,
      const std::function<void(const std::string& reason)>& report);

  /// Runs what is still queued, waits for the other ranks to get here, and ends MPI. Throws Error
  /// if they do not within the timeout or a collective fails. A communicator that is destroyed
  /// without it leaves MPI running: the launcher then takes the job for failed.
  virtual void finalize() = 0;

  /// Asks the launcher to end all processes of the job, this one too, and returns at once.
  virtual void abort(int exit_code) noexcept = 0;
};

}  // namespace minidl::dist
