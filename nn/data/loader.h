// From a dataset to batches, in the background and divided among the ranks.
#pragma once

#include <concepts>
#include <cstdint>
#include <iterator>
#include <memory>
#include <utility>

#include "minidl/core/communicator.h"
#include "minidl/nn/data/dataset.h"

namespace minidl::data {

struct LoaderOptions {
  std::int64_t global_batch = 128;  ///< samples in a step, over all ranks
  bool shuffle = false;
  bool drop_last = false;  ///< leave out the last batch if it is not full
  std::uint64_t seed = 0;  ///< of the order and of the dataset's random changes
  int workers = 2;         ///< threads that load; 0 loads when a batch is asked for
  int prefetch = 2;        ///< batches that each worker may be ahead
};

/// One pass over a dataset: a range of Batch that can be walked once. Its threads end with it, so a
/// loop may be left at any time. What a worker throws arrives in the loop, at the batch it belongs
/// to.
class Epoch {
 public:
  class Iterator {
   public:
    using value_type = Batch;
    using difference_type = std::ptrdiff_t;

    explicit Iterator(Epoch* epoch) : epoch_(epoch) {}
    Batch& operator*() const { return epoch_->current_; }
    Batch* operator->() const { return &epoch_->current_; }
    Iterator& operator++() {
      epoch_->advance();
      return *this;
    }
    void operator++(int) { epoch_->advance(); }
    bool operator==(std::default_sentinel_t) const { return epoch_->finished_; }

   private:
    Epoch* epoch_;
  };

  ~Epoch();
  Epoch(Epoch&&) noexcept;
  Epoch& operator=(Epoch&&) noexcept;

  /// Number of batches, the same on every rank.
  std::int64_t size() const;

  /// Waits for the first batch. Throws Error when called a second time.
  Iterator begin();
  std::default_sentinel_t end() const { return std::default_sentinel; }

 private:
  friend class Loader;
  class Pipeline;

  explicit Epoch(std::unique_ptr<Pipeline> pipeline);
  void advance();

  std::unique_ptr<Pipeline> pipeline_;
  Batch current_;
  bool started_ = false;
  bool finished_ = false;
};

/// Serves a dataset batch by batch, epoch by epoch:
///     for (auto [x, y] : loader.epoch(e)) …
/// In each epoch every sample comes once, on one rank. Rank r gets the r-th part of every global
/// batch; the parts' sizes differ by at most one, so in the last batch they may be empty. The
/// samples of a global batch depend on seed and epoch only, not on the number of ranks or workers.
class Loader {
 public:
  /// Reads rank and size of `world`, nothing else. Throws Error for options that cannot work and
  /// for an empty dataset.
  explicit Loader(std::shared_ptr<const Dataset> dataset, const LoaderOptions& options = {},
                  const Communicator& world = SingleProcess());

  template <std::derived_from<Dataset> D>
  explicit Loader(D dataset, const LoaderOptions& options = {},
                  const Communicator& world = SingleProcess())
      : Loader(std::shared_ptr<const Dataset>(std::make_shared<const D>(std::move(dataset))),
               options, world) {}

  /// The batches of one epoch. Its order and random changes follow from seed and `epoch`.
  Epoch epoch(std::int64_t epoch) const;

  /// Batches in an epoch, the same on every rank.
  std::int64_t batches() const;

  const Dataset& dataset() const { return *dataset_; }
  const LoaderOptions& options() const { return options_; }

 private:
  std::shared_ptr<const Dataset> dataset_;
  LoaderOptions options_;
  int rank_;
  int ranks_;
};

}  // namespace minidl::data
