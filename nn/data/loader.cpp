#include "minidl/nn/data/loader.h"

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <numeric>
#include <span>
#include <thread>
#include <vector>

#include "minidl/core/random.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/parallel.h"
#include "minidl/nn/data/sampling.h"

namespace minidl::data {

// Makes this rank's batches of one epoch, in order. Worker threads take the next batch that nobody
// has taken, as long as it is at most `window` ahead of the consumer, and put it in its slot.
class Epoch::Pipeline {
 public:
  Pipeline(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options,
           const BatchContext& context, std::vector<std::int64_t> order,
           std::vector<Interval> parts)
      : dataset_(std::move(dataset)),
        context_(context),
        order_(std::move(order)),
        parts_(std::move(parts)) {
    const auto workers = std::min(static_cast<std::size_t>(options.workers), parts_.size());
    slots_.resize(std::min(workers * static_cast<std::size_t>(options.prefetch), parts_.size()));
    try {
      for (std::size_t i = 0; i < workers; ++i) threads_.emplace_back([this] { work(); });
    } catch (...) {
      stop();
      throw;
    }
  }
  ~Pipeline() { stop(); }
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  std::size_t size() const { return parts_.size(); }
  bool finished() const { return consumed_ == parts_.size(); }

  // Must not be called once finished.
  Batch next() {
    if (threads_.empty()) return load(consumed_++);
    std::unique_lock lock(mutex_);
    Slot& slot = slots_[consumed_ % slots_.size()];
    loaded_.wait(lock, [&] { return slot.full; });
    const Slot taken = std::exchange(slot, {});
    ++consumed_;
    lock.unlock();
    room_.notify_one();
    if (taken.error) std::rethrow_exception(taken.error);
    return taken.batch;
  }

 private:
  struct Slot {
    bool full = false;
    Batch batch;
    std::exception_ptr error;
  };

  Batch load(std::size_t number) const {
    const Interval& part = parts_[number];
    return dataset_->batch(std::span(order_).subspan(static_cast<std::size_t>(part.begin),
                                                     static_cast<std::size_t>(part.size())),
                           context_);
  }

  void work() {
    // The workers are the parallelism: a dataset that uses tensor operations must not start more.
    kernels::set_num_threads(1);
    std::unique_lock lock(mutex_);
    while (true) {
      room_.wait(lock, [&] {
        return stopped_ || taken_ == parts_.size() || taken_ < consumed_ + slots_.size();
      });
      if (stopped_ || taken_ == parts_.size()) return;
      const std::size_t number = taken_++;
      lock.unlock();
      Slot result{.full = true, .batch = {}, .error = nullptr};
      try {
        result.batch = load(number);
      } catch (...) {
        result.error = std::current_exception();
      }
      lock.lock();
      slots_[number % slots_.size()] = std::move(result);
      loaded_.notify_one();
    }
  }

  void stop() {
    {
      const std::scoped_lock lock(mutex_);
      stopped_ = true;
    }
    room_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  std::shared_ptr<const Dataset> dataset_;
  BatchContext context_;
  std::vector<std::int64_t> order_;
  std::vector<Interval> parts_;  // of order_: this rank's part of each batch

  std::mutex mutex_;
  std::condition_variable loaded_;
  std::condition_variable room_;
  std::vector<Slot> slots_;   // batch b goes to slot b modulo their number
  std::size_t taken_ = 0;     // batches that a worker has begun
  std::size_t consumed_ = 0;  // batches handed out; changed by the consumer only
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

Epoch::Epoch(std::unique_ptr<Pipeline> pipeline) : pipeline_(std::move(pipeline)) {}
Epoch::~Epoch() = default;
Epoch::Epoch(Epoch&&) noexcept = default;
Epoch& Epoch::operator=(Epoch&&) noexcept = default;

std::int64_t Epoch::size() const {
  return static_cast<std::int64_t>(pipeline_->size());
}

Epoch::Iterator Epoch::begin() {
  check(!started_, "epoch: its batches can be walked once; ask the loader for another epoch");
  started_ = true;
  advance();
  return Iterator(this);
}

void Epoch::advance() {
  // The old batch goes first: its memory serves the next one.
  current_ = {};
  finished_ = pipeline_->finished();
  if (!finished_) current_ = pipeline_->next();
}

Loader::Loader(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options,
               const Communicator& world)
    : dataset_(std::move(dataset)), options_(options), rank_(world.rank()), ranks_(world.size()) {
  check(dataset_ != nullptr, "Loader: there is no dataset");
  const std::int64_t size = dataset_->size();
  check(size > 0, "Loader: {} is empty; there is nothing to load", dataset_->name());
  check(options.global_batch >= 1,
        "Loader: a global batch of {} samples is impossible; use 1 or more", options.global_batch);
  check(options.workers >= 0, "Loader: {} workers are impossible; use 0 or more", options.workers);
  check(options.prefetch >= 1, "Loader: {} batches of prefetch are impossible; use 1 or more",
        options.prefetch);
  check(batches() > 0,
        "Loader: drop_last leaves no batch of {}: its {} samples do not fill a global batch of {}; "
        "use a smaller batch",
        dataset_->name(), size, options.global_batch);
}

std::int64_t Loader::batches() const {
  const std::int64_t size = dataset_->size();
  const std::int64_t full = size / options_.global_batch;
  const bool tail = size % options_.global_batch != 0 && !options_.drop_last;
  return full + (tail ? 1 : 0);
}

Epoch Loader::epoch(std::int64_t epoch) const {
  check(epoch >= 0, "Loader: there is no epoch {}; they count from 0", epoch);
  const std::int64_t size = dataset_->size();
  std::vector<std::int64_t> order;
  if (options_.shuffle) {
    order = random_permutation(size, options_.seed, data_stream(StreamPurpose::shuffle, epoch));
  } else {
    order.resize(static_cast<std::size_t>(size));
    std::iota(order.begin(), order.end(), std::int64_t{0});
  }
  std::vector<Interval> parts;
  for (std::int64_t begin = 0, left = batches(); left > 0; --left) {
    const std::int64_t end = begin + std::min(options_.global_batch, size - begin);
    parts.push_back(share_of({.begin = begin, .end = end}, rank_, ranks_));
    begin = end;
  }
  return Epoch(std::make_unique<Epoch::Pipeline>(
      dataset_, options_, BatchContext{.seed = options_.seed, .epoch = epoch}, std::move(order),
      std::move(parts)));
}

}  // namespace minidl::data
