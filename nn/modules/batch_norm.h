#pragma once

#include "minidl/core/communicator.h"
#include "minidl/core/ops/batch_norm.h"
#include "minidl/nn/module.h"

namespace minidl::nn {

struct BatchNormOptions {
  std::int64_t features = 0;
  double eps = 1e-5;
  double momentum = 0.1;  ///< share of the new batch in the running statistics
  bool affine = true;     ///< a trainable weight (ones) and bias (zeros)
};

/// Batch normalisation over all dimensions but the second: [N, C, …]. Buffers running_mean,
/// running_var (unbiased) and num_batches_tracked, as in PyTorch. In training mode a batch needs
/// more than one value per channel; an empty batch passes through and leaves the statistics alone,
/// and so does a fake one. With a communicator, "batch" means those of all its ranks together.
class BatchNorm : public Module<BatchNorm> {
 public:
  explicit BatchNorm(const BatchNormOptions& options);
  explicit BatchNorm(std::int64_t features) : BatchNorm(BatchNormOptions{.features = features}) {}
  BatchNorm(ModuleBase& parent, std::string_view name, const BatchNormOptions& options);
  BatchNorm(ModuleBase& parent, std::string_view name, std::int64_t features)
      : BatchNorm(parent, name, BatchNormOptions{.features = features}) {}

  Tensor forward(const Tensor& x);

  /// Whose batches are normalised together in training mode; null, as at first, for this rank's
  /// own. The communicator must outlive its use here. See sync_batch_norm.
  void set_communicator(Communicator* communicator) { communicator_ = communicator; }

  Tensor weight;  ///< [C]; undefined if not affine
  Tensor bias;    ///< [C]; undefined if not affine
  Tensor running_mean;
  Tensor running_var;
  Tensor num_batches_tracked;  ///< i64 scalar

 private:
  void update_running_statistics(const BatchNormResult& batch);

  BatchNormOptions options_;
  Communicator* communicator_ = nullptr;
};

using BatchNorm1d = BatchNorm;
using BatchNorm2d = BatchNorm;

/// Hands the communicator to every BatchNorm in `module`, itself included: in training mode they
/// use the statistics of the whole batch from then on, as PyTorch's SyncBatchNorm does. Training
/// under DataParallel is then that of one process with the whole batch, uneven and empty parts
/// included. Forward and backward become collective: all ranks call the same layers equally often,
/// in the same order.
void sync_batch_norm(ModuleBase& module, Communicator& communicator);

}  // namespace minidl::nn
