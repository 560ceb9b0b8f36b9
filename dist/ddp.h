// Data-parallel training: every rank has the whole model and its share of each batch.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "minidl/core/communicator.h"
#include "minidl/core/state_dict.h"
#include "minidl/dist/flatten.h"
#include "minidl/dist/gradient_reducer.h"
#include "minidl/nn/leaves.h"
#include "minidl/nn/module.h"

namespace minidl::dist {

struct DataParallelOptions {
  BucketOptions buckets;
  /// Copies rank 0's buffers (running statistics) to all ranks before each training forward, and
  /// before the first forward after the switch to eval. Forward is then collective: all ranks call
  /// it equally often.
  bool broadcast_buffers = true;
};

/// Keeps gradients local while it lives: see DataParallelBase::no_sync. Can be moved, not copied;
/// guards nest.
class [[nodiscard]] NoSyncGuard {
 public:
  /// A null reducer stands for a single process, which sends nothing anyway.
  explicit NoSyncGuard(std::shared_ptr<GradientReducer> reducer) : reducer_(std::move(reducer)) {
    if (reducer_) reducer_->pause();
  }
  NoSyncGuard(NoSyncGuard&& other) noexcept : reducer_(std::move(other.reducer_)) {}
  NoSyncGuard(const NoSyncGuard&) = delete;
  NoSyncGuard& operator=(const NoSyncGuard&) = delete;
  ~NoSyncGuard() {
    if (reducer_) reducer_->resume();
  }

 private:
  std::shared_ptr<GradientReducer> reducer_;
};

/// What DataParallel does whatever the module computes.
class DataParallelBase {
 public:
  DataParallelBase(const DataParallelBase&) = delete;
  DataParallelBase& operator=(const DataParallelBase&) = delete;

  /// The weight of this rank in the next backward: the number of samples that its loss is the mean
  /// of. Left out, it is size(0) of the first tensor that the last forward got.
  void set_local_samples(std::int64_t count);

  /// For gradient accumulation: backward passes that start while the guard lives add to this rank's
  /// gradients and send nothing; the next one without it reduces the sum. All ranks must do alike.
  /// Forward does not broadcast buffers meanwhile. Throws Error during a backward and after one
  /// that failed.
  ///
  ///     {
  ///       auto guard = model.no_sync();
  ///       for (int i = 0; i < 3; ++i) cross_entropy(model(x[i]), y[i]).backward();
  ///     }
  ///     cross_entropy(model(x[3]), y[3]).backward();
  ///
  /// In the reduction each rank has one gradient, the sum over its four micro-batches, and one
  /// weight: its samples in all passes since the last reduction. The average is what one process
  /// gets from the whole micro-batches if each rank's share of the samples is the same in all of
  /// them; otherwise no single weight can give that. An empty micro-batch adds the gradient of its
  /// loss (0 with cross_entropy; one that is NaN stays NaN) and nothing to the weight; a rank that
  /// had only empty ones is left out. zero_grad clears gradients and not these counts.
  NoSyncGuard no_sync();

  // The module's own, under its own names: checkpoints do not depend on how it was trained.
  StateDict state_dict() const { return module_.state_dict(); }
  StateDict named_parameters() const { return module_.named_parameters(); }
  StateDict named_buffers() const { return module_.named_buffers(); }
  Tensors parameters() const { return module_.parameters(); }
  nn::LoadReport load_state_dict(const StateDict& state, bool strict = true) {
    return module_.load_state_dict(state, strict);
  }
  void train(bool on = true) { module_.train(on); }
  void eval() { module_.eval(); }
  bool training() const { return module_.training(); }
  void zero_grad() { module_.zero_grad(); }

  /// Rank 0 writes the module's state as safetensors, atomically; returns when the file is there.
  /// All ranks must call it.
  void save(const std::string& path) const;

  /// Elements of each gradient bucket, in the order in which they are sent; none for one process.
  std::vector<std::int64_t> bucket_sizes() const;

 protected:
  DataParallelBase(nn::ModuleBase& module, Communicator& communicator,
                   const DataParallelOptions& options);
  ~DataParallelBase() = default;

  void before_forward(const Tensors& inputs);

 private:
  // Buffers of one dtype and the block in which they travel.
  struct BufferGroup {
    std::string purpose;
    Tensors buffers;
    FlatTensors flat;
  };

  void check_in_step(const char* action) const;
  void check_frozen(const StateDict& parameters) const;
  void make_buffer_groups();
  void broadcast_buffers();

  nn::ModuleBase& module_;
  Communicator& communicator_;
  std::shared_ptr<GradientReducer> reducer_;  // null for one process
  std::vector<bool> trained_;                 // by parameter, when the buckets were made
  std::vector<BufferGroup> buffers_;
  bool buffers_may_differ_ = false;
};

/// Wraps a module so that `backward` leaves the same gradients on every rank: the average over the
/// samples of all of them, as if one process had computed the whole batch. Uneven batches weigh by
/// their size, and a rank without samples counts for nothing, but it takes part: it calls forward
/// and backward with an empty batch. At the start the ranks compare their models (Error says what
/// differs) and take over rank 0's parameters and buffers.
///
///     dl::dist::DataParallel model(net, world);
///     dl::cross_entropy(model(x), y).backward();
///
/// Backward calls accumulate until zero_grad, as usual. A parameter that no rank used keeps no
/// gradient. If all ranks are without samples the gradients are 0, accumulated ones included. The
/// module's device, dtypes and frozen parameters must stay as they are; it and the communicator
/// must outlive the wrapper.
template <class M>
class DataParallel : public DataParallelBase {
 public:
  DataParallel(M& module, Communicator& communicator, const DataParallelOptions& options = {})
      : DataParallelBase(module, communicator, options), module_(module) {}

  /// Calls the module; returns what it returns.
  template <class... Args>
  auto operator()(Args&&... args) {
    before_forward(nn::leaves_of(args...));
    return module_(std::forward<Args>(args)...);
  }

  M& module() const { return module_; }

 private:
  M& module_;
};

}  // namespace minidl::dist

namespace minidl {

/// DataParallel's form of save(module, path): all ranks must call it.
inline void save(const dist::DataParallelBase& model, const std::string& path) {
  model.save(path);
}

}  // namespace minidl
