// The FIFO of a communicator and the thread that empties it. Not part of the public interface.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "minidl/core/communicator.h"
#include "minidl/dist/mpi/collectives.h"
#include "minidl/dist/mpi/transport.h"

namespace minidl::dist {

/// Takes collectives from any thread and runs them in that order on its own. The thread shares
/// ownership, so that it can be left behind if MPI does not let go of it.
///
/// A collective that is not through `timeout` after its turn came, or that fails, ends them all:
/// the ranks no longer agree on what has been sent. Whoever waits gets the reason as an Error. If
/// nobody does within two seconds (all are busy elsewhere, perhaps for good) the thread itself
/// hands the reason to `report` and ends the job; without a `report` it leaves the job alone.
class WorkQueue : public std::enable_shared_from_this<WorkQueue> {
 public:
  /// Runs on the queue's thread; the tag belongs to this collective alone. Returns what still uses
  /// the tensors' bytes then, copies on a GPU; null if nothing does.
  using Body = std::function<std::shared_ptr<StorageUse>(Collectives&, int tag)>;

  using Report = std::function<void(const std::string& reason)>;
  /// Called on the queue's thread.
  using MakeTransport = std::function<std::unique_ptr<Transport>(const std::atomic<bool>& stop,
                                                                 PendingPeers& pending)>;

  WorkQueue(std::chrono::milliseconds timeout, Report report, MakeTransport make_transport)
      : timeout_(timeout), report_(std::move(report)), make_transport_(std::move(make_transport)) {}

  /// Starts the thread and the transport with it. Throws Error if that fails.
  void start();

  int rank() const { return rank_; }
  int size() const { return size_; }

  /// `what` describes the collective in errors: "5 f32: the loss". `last` ends MPI afterwards.
  WorkPtr add(const char* op, std::string what, Body body, bool last = false);

  /// Stops the thread where it is, without ending MPI. What is still queued fails.
  void stop();

  /// Ends the whole job from the thread.
  void abort(int exit_code);

 private:
  class Item;

  void run();
  void end(std::unique_ptr<Transport> transport, std::unique_ptr<Collectives> collectives);
  bool run_next(Transport& transport, Collectives& collectives);
  std::shared_ptr<Item> next(Transport& transport);
  std::string run_body(Item& item, Transport& transport, Collectives& collectives);
  void next_turn();
  void fail_all(const std::string& reason, const Item* cause = nullptr);
  bool is_taken_up();
  std::string late_message(const Item& item, std::chrono::milliseconds waited) const;

  const std::chrono::milliseconds timeout_;
  const Report report_;
  const MakeTransport make_transport_;
  int rank_ = 0;
  int size_ = 1;

  std::atomic<bool> stop_{false};
  std::atomic<int> abort_code_{0};
  PendingPeers pending_;

  mutable std::mutex mutex_;
  std::condition_variable added_;     // the thread sleeps on this one
  std::condition_variable finished_;  // those who wait for a collective on this one
  std::deque<std::shared_ptr<Item>> items_;
  std::uint64_t next_sequence_ = 0;
  std::chrono::steady_clock::time_point turn_ends_;  // of the oldest item, if there is one
  std::string failure_;                              // why nothing runs any more
  bool taken_up_ = false;                            // somebody was told
  bool reported_ = false;                            // nobody was, and the thread speaks itself
  Body abandoned_;                                   // of the collective that failed
  bool ready_ = false;
  bool ended_ = false;
};

}  // namespace minidl::dist
