#include "minidl/dist/mpi/work_queue.h"

#include <array>
#include <cstring>
#include <exception>
#include <thread>
#include <utility>
#include <vector>

#include "minidl/kernels/common/check.h"

namespace minidl::dist {
namespace {

constexpr int kFailure = 1;  // the exit code
constexpr std::chrono::seconds kTimeToStop{1};
// Longer than dist::run takes to speak of another error and end the job: that one comes first.
constexpr std::chrono::seconds kTimeToTakeUp{2};

// Tags tell collectives apart: which one it is and its place in the order, as far as the tags that
// every MPI has (up to 32767) go.
int make_tag(const char* op, std::uint64_t sequence) {
  constexpr std::array kOps{"all_reduce", "broadcast", "all_gather", "reduce_scatter", "finalize"};
  constexpr std::uint64_t kSequences = 4096;
  std::uint64_t kind = 0;
  while (kind < kOps.size() && std::strcmp(kOps[kind], op) != 0) ++kind;
  return static_cast<int>(kind * kSequences + sequence % kSequences);
}

// Other ranks may still send to, and fetch from, the memory of a collective that did not end.
template <class Thing>
void keep_for_good(std::unique_ptr<Thing> thing) {
  static std::mutex mutex;
  static auto* const kept = new std::vector<std::unique_ptr<Thing>>;
  const std::lock_guard lock(mutex);
  kept->push_back(std::move(thing));
}

double seconds(std::chrono::milliseconds time) {
  return std::chrono::duration<double>(time).count();
}

}  // namespace

class WorkQueue::Item final : public Work {
 public:
  Item(std::shared_ptr<WorkQueue> queue, std::uint64_t number, const char* op, std::string what,
       Body body, bool last)
      : queue_(std::move(queue)),
        number_(number),
        op_(op),
        what_(std::move(what)),
        body_(std::move(body)),
        last_(last) {}

  bool done() const override { return done_ && (copies_ == nullptr || copies_->done()); }

  void finish() override {
    if (!done_) return wait({});
    if (copies_ != nullptr) copies_->finish();
  }

  void wait(std::optional<std::chrono::milliseconds> deadline) override {
    std::unique_lock lock(queue_->mutex_);
    const auto ended = [this] { return ended_; };
    if (deadline) {
      if (!queue_->finished_.wait_for(lock, *deadline, ended)) {
        throw Error(queue_->late_message(*this, *deadline));
      }
    } else {
      wait_for_thread(lock);
    }
    if (!error_.empty()) give_up(lock, error_);
    lock.unlock();
    if (copies_ != nullptr) copies_->finish();
  }

  std::string name() const { return fmt::format("{} #{}", op_, number_); }
  std::string title() const { return fmt::format("{} ({})", name(), what_); }

  // Lets go of the tensors. Their storages finish this item when they go, so the thread's part must
  // be done, and the queue's mutex must be free for whatever else their end sets off.
  void drop_body() {
    done_ = true;
    body_ = nullptr;
  }

  std::shared_ptr<WorkQueue> queue_;
  std::uint64_t number_;
  const char* op_;
  std::string what_;
  Body body_;  // the thread's, once it is queued
  bool last_;
  std::shared_ptr<StorageUse> copies_;  // set before done_
  std::atomic<bool> done_{false};       // as far as the thread is concerned
  bool ended_ = false;                  // this and what follows: under the queue's mutex
  std::string error_;

 private:
  // The thread gives up by itself when the time is over; the limit here is for a thread that MPI
  // does not let go of.
  void wait_for_thread(std::unique_lock<std::mutex>& lock) const {
    while (!ended_) {
      const auto limit = queue_->turn_ends_ + kTimeToStop;
      queue_->finished_.wait_until(lock, limit);
      // Meanwhile it may have become the next one's turn.
      if (!ended_ && std::chrono::steady_clock::now() >= queue_->turn_ends_ + kTimeToStop) {
        give_up(lock, queue_->late_message(*this, queue_->timeout_));
      }
    }
  }

  [[noreturn]] void give_up(std::unique_lock<std::mutex>& lock, const std::string& reason) const {
    // Once is enough, should the thread have said it and be ending the process.
    queue_->finished_.wait(lock, [this] { return !queue_->reported_; });
    queue_->taken_up_ = true;
    queue_->added_.notify_all();
    throw Error(reason);
  }
};

void WorkQueue::start() {
  std::thread([self = shared_from_this()] { self->run(); }).detach();
  std::unique_lock lock(mutex_);
  const bool in_time = finished_.wait_for(lock, timeout_, [this] { return ready_ || ended_; });
  check(in_time, "MPI_Init_thread: not finished after {:g} s; not all processes may have started",
        seconds(timeout_));
  if (!failure_.empty()) throw Error(failure_);
}

WorkPtr WorkQueue::add(const char* op, std::string what, Body body, bool last) {
  const std::lock_guard lock(mutex_);
  auto item = std::make_shared<Item>(shared_from_this(), next_sequence_++, op, std::move(what),
                                     std::move(body), last);
  if (!failure_.empty()) {
    item->drop_body();
    item->error_ = fmt::format("{}: {}", item->name(), failure_);
    item->ended_ = true;
    return item;
  }
  items_.push_back(item);
  if (items_.size() == 1) next_turn();
  added_.notify_one();
  return item;
}

void WorkQueue::stop() {
  stop_ = true;
  std::unique_lock lock(mutex_);
  added_.notify_all();
  finished_.wait_for(lock, kTimeToStop, [this] { return ended_; });
}

void WorkQueue::abort(int exit_code) {
  abort_code_ = exit_code;
  stop_ = true;
  const std::lock_guard lock(mutex_);
  added_.notify_all();
}

void WorkQueue::run() {
  try {
    std::unique_ptr<Transport> transport = make_transport_(stop_, pending_);
    auto collectives = std::make_unique<Collectives>(*transport);
    {
      const std::lock_guard lock(mutex_);
      rank_ = transport->rank();
      size_ = transport->size();
      ready_ = true;
      finished_.notify_all();
    }
    while (run_next(*transport, *collectives)) {
    }
    if (abort_code_ != 0) transport->abort(abort_code_);
    end(std::move(transport), std::move(collectives));
  } catch (const std::exception& error) {
    fail_all(error.what());
  }
  const std::lock_guard lock(mutex_);
  ended_ = true;
  finished_.notify_all();
}

void WorkQueue::end(std::unique_ptr<Transport> transport,
                    std::unique_ptr<Collectives> collectives) {
  bool at_rest = false;
  {
    const std::lock_guard lock(mutex_);
    at_rest = failure_.empty() && items_.empty();
  }
  fail_all("the communicator was closed");
  if (at_rest) return transport->leave();
  keep_for_good(std::move(collectives));
  keep_for_good(std::move(transport));
  keep_for_good(std::make_unique<Body>(std::move(abandoned_)));
}

bool WorkQueue::run_next(Transport& transport, Collectives& collectives) {
  const std::shared_ptr<Item> item = next(transport);
  if (!item) return false;
  const std::string error = run_body(*item, transport, collectives);
  if (!error.empty()) {
    if (stop_) return false;
    fail_all(error, item.get());
    if (report_ && !is_taken_up()) {
      report_(error);
      transport.abort(kFailure);
    }
    return true;  // until somebody calls stop or abort
  }
  item->drop_body();
  const std::lock_guard lock(mutex_);
  items_.pop_front();
  next_turn();
  item->ended_ = true;
  finished_.notify_all();
  return !item->last_;
}

// Returns what went wrong, if anything.
std::string WorkQueue::run_body(Item& item, Transport& transport, Collectives& collectives) {
  std::string error;
  try {
    item.copies_ = item.body_(collectives, make_tag(item.op_, item.number_));
    if (item.last_) transport.finalize();
    return {};
  } catch (const Stopped&) {
    error = "the communicator was closed";
  } catch (const Late&) {
    const std::lock_guard lock(mutex_);
    error = late_message(item, timeout_);
  } catch (const std::exception& caught) {
    error = fmt::format("{} on rank {} of {}: {}", item.title(), rank_, size_, caught.what());
  }
  // Other ranks may still fetch the bytes: they stay until the process ends.
  abandoned_ = std::move(item.body_);
  return error;
}

// The oldest item, which stays in the queue while it runs; null once the thread is to stop.
std::shared_ptr<WorkQueue::Item> WorkQueue::next(Transport& transport) {
  std::unique_lock lock(mutex_);
  added_.wait(lock, [this] { return stop_ || !items_.empty(); });
  if (stop_) return nullptr;
  transport.set_deadline(turn_ends_);
  return items_.front();
}

void WorkQueue::next_turn() {
  turn_ends_ = std::chrono::steady_clock::now() + timeout_;
}

// `cause` is the item that the reason speaks of, if it speaks of one.
void WorkQueue::fail_all(const std::string& reason, const Item* cause) {
  std::deque<std::shared_ptr<Item>> failed;
  {
    const std::lock_guard lock(mutex_);
    if (failure_.empty()) failure_ = reason;
    failed.swap(items_);
    for (const std::shared_ptr<Item>& item : failed) {
      item->error_ = item.get() == cause ? reason : fmt::format("{}: {}", item->name(), failure_);
      item->done_ = true;
      item->ended_ = true;
    }
    finished_.notify_all();
  }
  for (const std::shared_ptr<Item>& item : failed) item->drop_body();
}

// Whether somebody learns of the failure, so that the job need not be ended from here.
bool WorkQueue::is_taken_up() {
  std::unique_lock lock(mutex_);
  added_.wait_for(lock, kTimeToTakeUp, [this] { return taken_up_ || stop_; });
  reported_ = !taken_up_ && !stop_;
  return !reported_;
}

std::string WorkQueue::late_message(const Item& item, std::chrono::milliseconds waited) const {
  std::string message = fmt::format("{} on rank {} of {}: not finished after {:g} s; ",
                                    item.title(), rank_, size_, seconds(waited));
  const Item& current = *items_.front();
  if (&current != &item) message += fmt::format("{} before it ", current.title());
  const std::vector<int> peers = pending_.list();
  if (peers.empty()) return message + "is still running";
  message += peers.size() == 1 ? "waits for rank" : "waits for ranks";
  for (const int peer : peers)
    message += (peer == peers.front() ? " " : ", ") + std::to_string(peer);
  message += ", which may be slow, have ended, or be in another collective (to wait longer, set ";
  message += "MINIDL_TIMEOUT to more seconds)";
  return message;
}

}  // namespace minidl::dist
