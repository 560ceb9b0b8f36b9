#include "minidl/dist/gradient_reducer.h"

#include <algorithm>
#include <map>

#include "minidl/core/autograd/engine.h"
#include "minidl/dist/flatten.h"
#include "minidl/kernels/common/check.h"

namespace minidl::dist {

std::shared_ptr<GradientReducer> GradientReducer::create(const StateDict& parameters,
                                                         Communicator& communicator,
                                                         const BucketOptions& options) {
  const std::shared_ptr<GradientReducer> reducer(new GradientReducer(communicator));
  for (const NamedTensor& parameter : parameters) {
    reducer->parameters_.push_back({.name = parameter.name, .tensor = parameter.tensor});
  }
  reducer->make_buckets(options);
  reducer->register_hooks();
  return reducer;
}

std::vector<std::int64_t> GradientReducer::bucket_sizes() const {
  std::vector<std::int64_t> sizes;
  for (const Bucket& bucket : buckets_) sizes.push_back(bucket.grads.numel());
  return sizes;
}

void GradientReducer::make_buckets(const BucketOptions& options) {
  struct Open {
    std::size_t bucket = 0;
    std::int64_t bytes = 0;
  };
  std::map<DType, Open> open;  // a bucket has one dtype
  for (std::size_t i = parameters_.size(); i-- > 0;) {
    const Tensor& tensor = parameters_[i].tensor;
    const std::int64_t bytes = tensor.numel() * static_cast<std::int64_t>(size_of(tensor.dtype()));
    const auto [entry, is_new] = open.try_emplace(tensor.dtype());
    Open& current = entry->second;
    const std::int64_t limit =
        current.bucket == 0 ? options.first_bucket_bytes : options.bucket_bytes;
    if (is_new || current.bytes + bytes > limit) {
      current = {.bucket = buckets_.size(), .bytes = 0};
      buckets_.emplace_back();
    }
    current.bytes += bytes;
    parameters_[i].bucket = current.bucket;
    buckets_[current.bucket].parameters.push_back(i);
  }
  for (std::size_t i = 0; i < buckets_.size(); ++i) allocate(i);
}

std::string GradientReducer::purpose(std::size_t index) const {
  const std::vector<std::size_t>& members = buckets_[index].parameters;  // from last to first
  const std::string& first = parameters_[members.back()].name;
  const std::string& last = parameters_[members.front()].name;
  const std::string place = fmt::format("bucket {} of {}", index + 1, buckets_.size());
  if (members.size() == 1) return fmt::format("gradient of {}, {}", first, place);
  return fmt::format("gradients of {} ... {}, {} gradients, {}", first, last, members.size(),
                     place);
}

void GradientReducer::allocate(std::size_t index) {
  Bucket& bucket = buckets_[index];
  const bool first = index == 0;
  bucket.purpose = purpose(index);
  Tensors tensors;
  for (const std::size_t member : bucket.parameters) tensors.push_back(parameters_[member].tensor);
  const auto count = static_cast<std::int64_t>(tensors.size());
  const FlatTensors flat = make_flat(tensors, count + (first ? 1 : 0));
  flat.block.set_memory_tag(MemoryTag::grad);
  const std::int64_t grads = flat.block.numel() - count - (first ? 1 : 0);
  bucket.block = flat.block;
  bucket.grads = flat.block.slice(0, 0, grads);
  bucket.used = flat.block.slice(0, grads, grads + count);
  if (first) bucket.samples = flat.block.slice(0, grads + count, grads + count + 1);
  bucket.missing = tensors.size();
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    Parameter& parameter = parameters_[bucket.parameters[i]];
    parameter.grad = flat.views[i];
    parameter.tensor.set_grad_storage(parameter.grad);
  }
}

void GradientReducer::register_hooks() {
  // Hooks stay on the parameters for good; once the reducer is gone they do nothing.
  const std::weak_ptr<GradientReducer> weak = weak_from_this();
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    parameters_[i].tensor.register_post_accumulate_grad_hook([weak, i](const Tensor&) {
      if (const std::shared_ptr<GradientReducer> self = weak.lock()) self->on_accumulated(i);
    });
  }
}

void GradientReducer::on_accumulated(std::size_t index) {
  if (!in_backward_) {
    in_backward_ = true;
    local_pass_ = paused();
    autograd::queue_end_of_backward([self = shared_from_this()] { self->finish(); });
  }
  if (local_pass_) return;
  Parameter& parameter = parameters_[index];
  check(!parameter.accumulated,
        "DataParallel: {} got a second gradient while the first was on its way to the other ranks; "
        "run one backward at a time",
        parameter.name);
  parameter.accumulated = true;
  --buckets_[parameter.bucket].missing;
  while (launched_ < buckets_.size() && buckets_[launched_].missing == 0) {
    launch(buckets_[launched_++]);
  }
}

void GradientReducer::launch(Bucket& bucket) {
  std::vector<double> used;
  for (const std::size_t index : bucket.parameters) {
    const Parameter& parameter = parameters_[index];
    // Without a gradient from this pass there may still be one from the pass before, and it may be
    // one that was set by hand.
    const Tensor grad = parameter.tensor.grad();
    if (!grad.defined()) {
      parameter.grad.zero_();
    } else if (grad.storage() != parameter.grad.storage()) {
      parameter.grad.copy_(grad);
    }
    used.push_back(grad.defined() ? 1 : 0);
  }
  const std::int64_t samples = earlier_samples_ + samples_.value_or(default_samples_);
  if (samples == 0) {
    bucket.grads.zero_();  // the mean over no samples is NaN, and 0 * NaN is NaN
  } else {
    bucket.grads.mul_(static_cast<double>(samples));
  }
  bucket.used.copy_(tensor(used, bucket.used.shape()));
  if (bucket.samples.defined()) bucket.samples.fill_(static_cast<double>(samples));
  bucket.work = communicator_.all_reduce(bucket.block, Reduction::sum, bucket.purpose);
}

void GradientReducer::finish() {
  if (local_pass_) {
    earlier_samples_ += samples_.value_or(default_samples_);
    samples_.reset();
    in_backward_ = false;
    return;
  }
  while (launched_ < buckets_.size()) launch(buckets_[launched_++]);
  buckets_.front().work->wait();
  const double total_samples = buckets_.front().samples.item();
  for (Bucket& bucket : buckets_) finish(bucket, total_samples);
  for (Parameter& parameter : parameters_) parameter.accumulated = false;
  launched_ = 0;
  earlier_samples_ = 0;
  samples_.reset();
  in_backward_ = false;
}

void GradientReducer::finish(Bucket& bucket, double total_samples) {
  bucket.work->wait();
  bucket.work.reset();
  bucket.missing = bucket.parameters.size();
  if (total_samples > 0) bucket.grads.mul_(1 / total_samples);
  const std::vector<double> used = bucket.used.to_vector();
  for (std::size_t i = 0; i < bucket.parameters.size(); ++i) {
    const Parameter& parameter = parameters_[bucket.parameters[i]];
    // A gradient on one rank is a gradient on all, or their optimizers would part ways.
    if (used[i] > 0) parameter.tensor.set_grad(parameter.grad);
  }
}

}  // namespace minidl::dist
