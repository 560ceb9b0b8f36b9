// Averages gradients over the ranks while backward is still running.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "minidl/core/communicator.h"
#include "minidl/core/state_dict.h"

namespace minidl::dist {

struct BucketOptions {
  std::int64_t bucket_bytes = std::int64_t{25} << 20;
  /// Of the bucket that fills first: a small one, so that the network starts working early.
  std::int64_t first_bucket_bytes = std::int64_t{1} << 20;
};

/// Gradients live in buckets, blocks of memory that are filled by backward, in about the order in
/// which backward reaches the parameters: last ones first. A bucket whose gradients are complete is
/// summed over the ranks at once, in the background. At the end of backward every gradient is the
/// average over the samples of all ranks.
class GradientReducer : public std::enable_shared_from_this<GradientReducer> {
 public:
  /// `parameters` must be the same on all ranks, each a leaf that requires a gradient; gradients
  /// that they have already are dropped. The communicator must outlive the reducer.
  static std::shared_ptr<GradientReducer> create(const StateDict& parameters,
                                                 Communicator& communicator,
                                                 const BucketOptions& options);

  /// How many samples this rank's loss is the mean of: its weight in the average. 0 takes its
  /// gradients, whatever they are, out of it. Holds for the next backward only.
  void set_samples(std::int64_t count) { samples_ = count; }
  /// The same for every backward that set_samples says nothing about.
  void set_default_samples(std::int64_t count) { default_samples_ = count; }

  /// Between pause and resume, which nest, backward passes add to the local gradients and send
  /// nothing. The first pass that starts after that reduces the sum; in it this rank's weight is
  /// its samples in all passes since the last reduction.
  void pause() { ++pauses_; }
  void resume() { --pauses_; }
  bool paused() const { return pauses_ > 0; }

  /// Whether a backward pass is running, or ended with an exception.
  bool in_backward() const { return in_backward_; }

  /// Gradient elements of each bucket, in the order in which they are sent.
  std::vector<std::int64_t> bucket_sizes() const;

 private:
  struct Parameter {
    std::string name;
    Tensor tensor;
    Tensor grad = {};  ///< its place in the bucket
    std::size_t bucket = 0;
    bool accumulated = false;  ///< in this pass
  };

  struct Bucket {
    std::vector<std::size_t> parameters;
    std::string purpose;      ///< whose gradients these are, for errors
    Tensor block;             ///< grads, used and samples, in this order
    Tensor grads;             ///< all gradients, flat
    Tensor used;              ///< one element per parameter: how many ranks have a gradient for it
    Tensor samples;           ///< one element, in the first bucket only
    std::size_t missing = 0;  ///< parameters whose gradient is still to come in this pass
    WorkPtr work;
  };

  explicit GradientReducer(Communicator& communicator) : communicator_(communicator) {}

  void make_buckets(const BucketOptions& options);
  void allocate(std::size_t index);
  std::string purpose(std::size_t index) const;
  void register_hooks();

  void on_accumulated(std::size_t index);
  void launch(Bucket& bucket);
  void finish();
  void finish(Bucket& bucket, double total_samples);

  Communicator& communicator_;
  std::vector<Parameter> parameters_;
  std::vector<Bucket> buckets_;
  std::size_t launched_ = 0;  ///< buckets of this pass that are on their way
  std::optional<std::int64_t> samples_;
  std::int64_t default_samples_ = 1;
  std::int64_t earlier_samples_ = 0;  ///< of passes that sent nothing
  int pauses_ = 0;
  bool in_backward_ = false;
  bool local_pass_ = false;  ///< sends nothing, whatever becomes of pauses_ meanwhile
};

}  // namespace minidl::dist
