// Messages between the ranks of an MPI job, polled. Not part of the public interface.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "minidl/kernels/common/stream.h"

namespace minidl::dist {

/// Bytes for, or from, another rank.
struct Message {
  int peer = 0;
  void* data = nullptr;
  std::size_t bytes = 0;
};
using Messages = std::vector<Message>;

/// Thrown out of an exchange or a wait after `stop`.
struct Stopped {};
/// Thrown out of them after their deadline.
struct Late {};

/// Which ranks an exchange still waits for. Any thread may read it.
class PendingPeers {
 public:
  void start(const Messages& receives, const Messages& sends, int size);
  void finish(int peer);
  std::vector<int> list() const;

 private:
  mutable std::mutex mutex_;
  std::vector<int> messages_;  // still outstanding, by rank
};

/// MPI, from MPI_Init to MPI_Finalize, or a communicator of a program that does these itself. One
/// thread makes, uses and destroys it; only `stop` and `pending` are for others. Calls nothing that
/// waits inside MPI once it is made, because MPI waits by spinning, without end.
class Transport {
 public:
  /// Starts MPI. `stop` ends every exchange and wait, now and later.
  Transport(const std::atomic<bool>& stop, PendingPeers& pending);
  /// Takes over a communicator, an MPI_Comm, that nobody else uses.
  Transport(const std::atomic<bool>& stop, PendingPeers& pending, const void* communicator);
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }

  /// Sends and receives all of these and returns when they are through. Messages with one tag
  /// between two ranks arrive in the order of the lists. Throws Error with MPI's own text, or when
  /// a message has another length than expected; throws Stopped and Late.
  void exchange(const Messages& receives, const Messages& sends, int tag);

  /// Returns when the event has happened. Throws Error if the device or a kernel before it failed;
  /// throws Stopped and Late.
  void wait(const Event& event);

  /// When these two give up, from now on.
  void set_deadline(std::chrono::steady_clock::time_point deadline) { deadline_ = deadline; }

  /// Ends MPI. All ranks must be here: exchange something first.
  void finalize();

  /// Frees a communicator that was taken over. No message may be on its way.
  void leave();

  /// Ends the job: all of its processes; at least this one, if MPI cannot.
  [[noreturn]] void abort(int exit_code);

 private:
  struct Handles;

  void look_around();
  void check_time() const;

  const std::atomic<bool>& stop_;
  PendingPeers& pending_;
  std::chrono::steady_clock::time_point deadline_ = std::chrono::steady_clock::time_point::max();
  std::unique_ptr<Handles> handles_;
  bool owns_mpi_ = true;
  int rank_ = 0;
  int size_ = 1;
};

}  // namespace minidl::dist
