#include "streams.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "../engine.h"
#include "access.h"
#include "faults.h"
#include "pinned.h"
#include "report.h"
#include "runtime.h"

namespace emu::runtime {
namespace {

constexpr std::size_t kLongestQueues = 1024;  // of all together; a real device blocks, too
constexpr std::size_t kRetiredStreams = 64;   // kept, so that dead handles are recognised

thread_local bool host_function_runs = false;

void execute_on_host(const Work& work) {
  host_function_runs = true;
  work.body();
  host_function_runs = false;
}

void execute(const Operation& operation) {
  if (!operation.work.body) return;
  if (operation.work.on_host) return execute_on_host(operation.work);
  Accessor accessor{operation.work.name, operation.at, operation.before, true, {}, {}};
  forget_memory_fault();
  try {
    AccessScope scope(accessor);
    operation.work.body();
    scope.finish();
  } catch (const DeviceFault& fault) {
    lose_device(fault);
  } catch (const std::exception& error) {
    lose_device(
        {had_memory_fault() ? cudaErrorIllegalAddress : cudaErrorLaunchFailure, error.what()});
  }
}

}  // namespace

bool in_host_function() {
  return host_function_runs;
}

Queues& Queues::instance() {
  static auto* queues = new Queues;  // leaked: streams may be destroyed by static destructors
  return *queues;
}

Queues::Queues() : random_(runtime_options().seed) {
  streams_.push_back(std::make_unique<Stream>());
}

Stream& Queues::create(bool blocking, int priority, unsigned flags) {
  const std::scoped_lock lock(mutex_);
  Stream* stream = nullptr;
  if (retired_.size() > kRetiredStreams &&
      streams_[static_cast<std::size_t>(retired_.front())]->queue.empty()) {
    stream = streams_[static_cast<std::size_t>(retired_.front())].get();
    retired_.pop_front();
  } else {
    streams_.push_back(std::make_unique<Stream>());
    stream = streams_.back().get();
    stream->id = static_cast<int>(streams_.size()) - 1;
  }
  stream->blocking = blocking;
  stream->priority = priority;
  stream->flags = flags;
  stream->live = true;
  return *stream;
}

void Queues::retire(Stream& stream) {
  const std::scoped_lock lock(mutex_);
  stream.live = false;
  stream.capture = nullptr;
  retired_.push_back(stream.id);
}

Stream* Queues::find(const void* handle) {
  const std::scoped_lock lock(mutex_);
  for (const auto& stream : streams_)
    if (stream.get() == handle && stream->live) return stream.get();
  return nullptr;
}

std::size_t Queues::live() const {
  const std::scoped_lock lock(mutex_);
  return static_cast<std::size_t>(
      std::count_if(streams_.begin() + 1, streams_.end(), [](const auto& s) { return s->live; }));
}

Mark Queues::issue(Stream& stream, Work work, const std::vector<Mark>& marks) {
  Lock lock(mutex_);
  Operation operation;
  operation.work = std::move(work);
  operation.before = stream.clock;
  operation.before.join(host_);
  const auto wait_for = [&](const Point& point, const Clock& clock) {
    operation.after.push_back(point);
    operation.before.join(clock);
    operation.before.join(point);
  };
  for (const Mark& mark : marks) wait_for(mark.at, mark.clock);
  if (stream.id == 0) {
    for (const auto& other : streams_)
      if (other->id != 0 && other->blocking) wait_for({other->id, other->issued}, other->clock);
  } else if (stream.blocking) {
    wait_for({0, default_stream().issued}, default_stream().clock);
  }
  operation.at = {stream.id, ++stream.issued};
  operation.serial = ++serial_;
  const Mark mark{operation.at, operation.before};
  stream.clock = operation.before;
  stream.clock.join(operation.at);
  stream.queue.push_back(std::move(operation));
  ++queued_;
  apply_policy(lock, mark.at);
  return mark;
}

void Queues::order_after(Stream& stream, const Mark& mark) {
  static const std::string* name = intern("cudaStreamWaitEvent");
  issue(stream, {name, {}}, {mark});
}

Mark Queues::tail(const Stream& stream) {
  const std::scoped_lock lock(mutex_);
  return {{stream.id, stream.issued}, stream.clock};
}

void Queues::apply_policy(Lock& lock, const Point& issued) {
  switch (runtime_options().streams) {
    case Streams::kEager: run_until(lock, issued); break;
    case Streams::kLate: break;
    case Streams::kRandom:
      while (random_() % 2 != 0) {
        Stream* next = next_of_any();
        if (next == nullptr || busy_) break;
        run_front(lock, *next);
      }
      break;
  }
  while (queued_ > kLongestQueues && !busy_) {
    Stream* next = next_of_any();
    if (next == nullptr) break;
    run_front(lock, *next);
  }
}

bool Queues::is_done(const Point& point) const {
  return streams_[static_cast<std::size_t>(point.stream)]->done >= point.number;
}

bool Queues::front_may_run(const Stream& stream) const {
  const auto& after = stream.queue.front().after;
  return std::all_of(after.begin(), after.end(), [&](const Point& p) { return is_done(p); });
}

// The stream whose front must run before the point can be done; null if that operation is being run
// already. An operation only ever waits for what was issued before it, so the search ends.
Stream* Queues::next_towards(const Point& point) {
  for (Point wanted = point;;) {
    Stream* stream = streams_[static_cast<std::size_t>(wanted.stream)].get();
    if (stream->queue.empty() || stream->queue.front().at.number > wanted.number) return nullptr;
    const auto& after = stream->queue.front().after;
    const auto missing =
        std::find_if(after.begin(), after.end(), [&](const Point& p) { return !is_done(p); });
    if (missing == after.end()) return stream;
    wanted = *missing;
  }
}

Stream* Queues::next_of_any() {
  std::vector<Stream*> able;
  for (const auto& stream : streams_)
    if (!stream->queue.empty() && front_may_run(*stream)) able.push_back(stream.get());
  if (able.empty()) return nullptr;
  if (runtime_options().streams == Streams::kRandom) return able[random_() % able.size()];
  return *std::min_element(able.begin(), able.end(), [](const Stream* a, const Stream* b) {
    return a->queue.front().serial < b->queue.front().serial;
  });
}

void Queues::run_front(Lock& lock, Stream& stream) {
  if (busy_) {
    idle_.wait(lock, [&] { return !busy_; });
    return;  // the caller looks again at what is left to do
  }
  const Operation operation = std::move(stream.queue.front());
  stream.queue.pop_front();
  --queued_;
  busy_ = true;
  lock.unlock();
  execute(operation);
  lock.lock();
  busy_ = false;
  stream.done = std::max(stream.done, operation.at.number);
  idle_.notify_all();
  if (sticky_error() != cudaSuccess) {
    lock.unlock();
    clear();
    lock.lock();
  }
}

void Queues::run_until(Lock& lock, const Point& point) {
  while (!is_done(point)) {
    Stream* next = runtime_options().streams == Streams::kRandom && random_() % 2 != 0
                       ? next_of_any()
                       : next_towards(point);
    if (next != nullptr) {
      run_front(lock, *next);
    } else if (busy_) {
      idle_.wait(lock, [&] { return !busy_; });
    }
  }
}

void Queues::wait(const Mark& mark) {
  {
    Lock lock(mutex_);
    run_until(lock, mark.at);
    host_.join(mark.clock);
    host_.join(mark.at);
  }
  reopen_pinned_memory();
}

void Queues::wait_all() {
  {
    Lock lock(mutex_);
    for (std::size_t i = 0; i < streams_.size(); ++i) {
      const Mark mark{{streams_[i]->id, streams_[i]->issued}, streams_[i]->clock};
      run_until(lock, mark.at);
      host_.join(mark.clock);
    }
  }
  reopen_pinned_memory();
}

bool Queues::poll(const Mark& mark) {
  {
    const std::scoped_lock lock(mutex_);
    if (!is_done(mark.at)) return false;
    host_.join(mark.clock);
    host_.join(mark.at);
  }
  reopen_pinned_memory();
  return true;
}

void Queues::step_towards(const Mark& mark) {
  Lock lock(mutex_);
  if (is_done(mark.at)) return;
  if (Stream* next = next_towards(mark.at)) run_front(lock, *next);
}

bool Queues::step_any() {
  Lock lock(mutex_);
  if (busy_) return false;
  Stream* next = next_of_any();
  if (next == nullptr) return false;
  run_front(lock, *next);
  return true;
}

bool Queues::host_knows(const Point& point) {
  const std::scoped_lock lock(mutex_);
  return host_.covers(point);
}

void Queues::clear() {
  std::vector<Operation> dropped;  // destroyed without the lock
  {
    const std::scoped_lock lock(mutex_);
    for (const auto& stream : streams_) {
      for (Operation& operation : stream->queue) dropped.push_back(std::move(operation));
      stream->queue.clear();
      stream->done = stream->issued;
      stream->capture = nullptr;
      host_.join(stream->clock);
    }
    queued_ = 0;
  }
  reopen_pinned_memory();
}

}  // namespace emu::runtime

bool emu::drain_some() {
  return runtime::Queues::instance().step_any();
}
