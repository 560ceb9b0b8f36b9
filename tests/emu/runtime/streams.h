// Streams as queues. Issuing work only appends to a queue; an operation runs when somebody waits
// for it (or for what comes after it), or when the policy says so (RuntimeOptions::streams). So
// work that nobody waits for has not happened when its result is read.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "clock.h"

namespace emu::runtime {

struct Capture;

/// What an operation does. An empty body is a point to wait for.
struct Work {
  const std::string* name;
  std::function<void()> body;
  bool on_host = false;  ///< a host function: device memory stays closed
};

struct Operation {
  Work work;
  Point at;
  Clock before;
  std::vector<Point> after;  ///< of other streams, to be run first
  std::uint64_t serial = 0;  ///< in the order of issue, over all streams
};

struct Stream {
  int id = 0;
  bool blocking = true;  ///< ordered with the default stream
  int priority = 0;
  unsigned flags = 0;
  bool live = true;
  std::uint64_t issued = 0, done = 0;
  Clock clock;  ///< what is finished once everything issued is
  std::deque<Operation> queue;
  std::shared_ptr<Capture> capture;  ///< set while it is being captured
};

class Queues {
 public:
  static Queues& instance();

  Stream& default_stream() { return *streams_.front(); }
  Stream& create(bool blocking, int priority, unsigned flags);
  /// What is queued still runs. The handle becomes invalid.
  void retire(Stream& stream);
  /// Null unless `handle` is a live stream's address.
  Stream* find(const void* handle);
  std::size_t live() const;

  /// Appends work that starts after what the stream holds and after `marks`.
  Mark issue(Stream& stream, Work work, const std::vector<Mark>& marks = {});
  /// Orders the stream's later work after `mark`.
  void order_after(Stream& stream, const Mark& mark);
  /// Everything issued on the stream so far, with what it is itself ordered after.
  Mark tail(const Stream& stream);

  /// Runs until the point is done; the host knows of it then. At once if it is done.
  void wait(const Mark& mark);
  void wait_all();
  /// Whether it is done; if so, the host knows of it.
  bool poll(const Mark& mark);
  /// Runs one operation on the way to the point, if it is not done.
  void step_towards(const Mark& mark);
  /// Runs any operation that may run.
  bool step_any();

  /// Whether the host has waited for the point.
  bool host_knows(const Point& point);

  /// Drops all that is queued.
  void clear();

 private:
  using Lock = std::unique_lock<std::mutex>;

  Queues();
  bool is_done(const Point& point) const;
  Stream* next_towards(const Point& point);
  Stream* next_of_any();
  bool front_may_run(const Stream& stream) const;
  void run_front(Lock& lock, Stream& stream);
  void run_until(Lock& lock, const Point& point);
  void apply_policy(Lock& lock, const Point& issued);

  mutable std::mutex mutex_;
  std::condition_variable idle_;
  bool busy_ = false;  // an operation runs; one at a time
  std::vector<std::unique_ptr<Stream>> streams_;
  std::deque<int> retired_;
  Clock host_;  // what the host has waited for
  std::uint64_t serial_ = 0;
  std::size_t queued_ = 0;
  std::mt19937 random_;
};

/// True while the calling thread is in a host function of cudaLaunchHostFunc.
bool in_host_function();

}  // namespace emu::runtime
