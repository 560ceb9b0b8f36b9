#include "minidl/dist/mpi/work_queue.h"

#include <array>
#include <cstring>
#include <exception>
#include <thread>
#include <utility>

#include "minidl/kernels/common/check.h"

namespace minidl::dist {
namespace {

constexpr std::chrono::seconds kTimeToStop{1};

// Tags tell collectives apart: which one it is and its place in the order, as far as the tags that
// every MPI has (up to 32767) go.
int make_tag(const char* op, std::uint64_t sequence) {
  constexpr std::array kOps{"all_reduce", "broadcast", "all_gather", "reduce_scatter", "finalize"};
  constexpr std::uint64_t kSequences = 4096;
  std::uint64_t kind = 0;
  while (kind < kOps.size() && std::strcmp(kOps[kind], op) != 0) ++kind;
  return static_cast<int>(kind * kSequences + sequence % kSequences);
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

  bool done() const override {
    const std::lock_guard lock(queue_->mutex_);
    return done_;
  }

  void wait(std::optional<std::chrono::milliseconds> deadline) override {
    const std::chrono::milliseconds allowed = deadline.value_or(queue_->timeout_);
    std::unique_lock lock(queue_->mutex_);
    const bool in_time = queue_->finished_.wait_for(lock, allowed, [this] { return done_; });
    if (!in_time) throw Error(queue_->late_message(*this, allowed));
    if (!error_.empty()) throw Error(error_);
  }

  std::string name() const { return fmt::format("{} #{}", op_, number_); }

  std::shared_ptr<WorkQueue> queue_;
  std::uint64_t number_;
  const char* op_;
  std::string what_;
  Body body_;
  bool last_;
  bool done_ = false;  // this and what follows: under the queue's mutex
  std::string error_;
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
    item->error_ = fmt::format("{}: {}", item->name(), failure_);
    item->done_ = true;
    return item;
  }
  items_.push_back(item);
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
    Transport transport(stop_, pending_);
    Collectives collectives(transport);
    {
      const std::lock_guard lock(mutex_);
      rank_ = transport.rank();
      size_ = transport.size();
      ready_ = true;
      finished_.notify_all();
    }
    while (run_next(transport, collectives)) {
    }
    if (abort_code_ != 0) transport.abort(abort_code_);
    fail_all("the communicator was closed");
  } catch (const std::exception& error) {
    fail_all(error.what());
  }
  const std::lock_guard lock(mutex_);
  ended_ = true;
  finished_.notify_all();
}

bool WorkQueue::run_next(Transport& transport, Collectives& collectives) {
  const std::shared_ptr<Item> item = next();
  if (!item) return false;
  std::string error;
  try {
    item->body_(collectives, make_tag(item->op_, item->number_));
    if (item->last_) transport.finalize();
  } catch (const Stopped&) {
    return false;
  } catch (const std::exception& caught) {
    error = fmt::format("{} ({}) on rank {} of {}: {}", item->name(), item->what_, rank_, size_,
                        caught.what());
  }
  {
    const std::lock_guard lock(mutex_);
    items_.pop_front();
    item->body_ = nullptr;  // lets go of the tensors
    item->error_ = error;
    item->done_ = true;
    finished_.notify_all();
  }
  // The ranks no longer agree on what has been sent: nothing after this could be trusted.
  if (!error.empty()) fail_all(error);
  return !item->last_;
}

// The oldest item, which stays in the queue while it runs; null once the thread is to stop.
std::shared_ptr<WorkQueue::Item> WorkQueue::next() {
  std::unique_lock lock(mutex_);
  added_.wait(lock, [this] { return stop_ || !items_.empty(); });
  return stop_ ? nullptr : items_.front();
}

void WorkQueue::fail_all(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (failure_.empty()) failure_ = reason;
  for (const std::shared_ptr<Item>& item : items_) {
    item->error_ = fmt::format("{}: {}", item->name(), failure_);
    item->done_ = true;
  }
  items_.clear();
  finished_.notify_all();
}

std::string WorkQueue::late_message(const Item& item, std::chrono::milliseconds waited) const {
  std::string message = fmt::format("{} ({}) on rank {} of {}: not finished after {:g} s; ",
                                    item.name(), item.what_, rank_, size_, seconds(waited));
  const Item& current = *items_.front();
  if (&current != &item) message += fmt::format("{} before it ", current.name());
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
