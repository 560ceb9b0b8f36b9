#include "minidl/nn/train/meter.h"

#include <algorithm>
#include <cmath>

#include "minidl/core/grad_mode.h"
#include "minidl/core/ops/comparison.h"
#include "minidl/kernels/common/check.h"

namespace minidl::train {
namespace {

MeterResult means(double loss_sum, double correct, double samples) {
  const double count = std::max(samples, 1.0);
  return {.loss = loss_sum / count,
          .accuracy = correct / count,
          .samples = static_cast<std::int64_t>(samples)};
}

}  // namespace

void Meter::update(const Tensor& loss, const Tensor& logits, const Tensor& target) {
  fold();
  if (target.numel() == 0) return;
  const NoGradGuard no_grad;
  pending_loss_ = HostCopy(loss);
  pending_correct_ = HostCopy((logits.argmax(1) == target).sum());
  pending_samples_ = target.numel();
}

void Meter::fold() {
  if (pending_samples_ == 0) return;
  const double loss = pending_loss_.item();
  check(std::isfinite(loss),
        "the loss became {} after {} samples: training has diverged; lower the learning rate", loss,
        samples_);
  loss_sum_ += loss * static_cast<double>(pending_samples_);
  correct_ += pending_correct_.item();
  samples_ += pending_samples_;
  pending_samples_ = 0;
}

MeterResult Meter::result() {
  fold();
  return means(loss_sum_, correct_, static_cast<double>(samples_));
}

MeterResult Meter::result(Communicator& communicator) {
  fold();
  const Tensor sums = tensor({loss_sum_, correct_, static_cast<double>(samples_)}, {3},
                             {.dtype = f64, .device = cpu});
  communicator.all_reduce(sums, Reduction::sum, "loss and accuracy")->wait();
  const std::vector<double> all = sums.to_vector();
  return means(all[0], all[1], all[2]);
}

}  // namespace minidl::train
