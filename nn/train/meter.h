// Loss and accuracy over many batches.
#pragma once

#include <cstdint>

#include "minidl/core/communicator.h"
#include "minidl/core/host_copy.h"
#include "minidl/core/tensor.h"

namespace minidl::train {

/// Means over the samples seen so far.
struct MeterResult {
  double loss = 0;
  double accuracy = 0;  ///< 0..1
  std::int64_t samples = 0;
};

/// Sums up mean losses and correct answers. Numbers are read from the device one batch late, so
/// that nothing waits for the batch that is being computed.
class Meter {
 public:
  /// `loss` is the mean over the batch, `logits` [N, classes], `target` [N] i64. An empty batch
  /// counts for nothing. Throws Error once a loss is not finite.
  void update(const Tensor& loss, const Tensor& logits, const Tensor& target);

  /// What this process has seen; waits for the last batch.
  MeterResult result();
  /// What all ranks have seen together. Every rank must call it.
  MeterResult result(Communicator& communicator);

 private:
  void fold();

  HostCopy pending_loss_;
  HostCopy pending_correct_;
  std::int64_t pending_samples_ = 0;
  double loss_sum_ = 0;
  double correct_ = 0;
  std::int64_t samples_ = 0;
};

}  // namespace minidl::train
