#include "minidl/dist/ddp.h"

#include <map>
#include <sstream>
#include <string>

#include "minidl/core/grad_mode.h"
#include "minidl/kernels/common/check.h"
#include "minidl/nn/serialization.h"

namespace minidl::dist {
namespace {

// A line for each tensor of the model, with everything that the ranks must agree on.
std::string outline(const nn::ModuleBase& module) {
  std::string text;
  const auto add = [&text](const char* kind, const NamedTensor& entry) {
    const Tensor& tensor = entry.tensor;
    text += std::string(kind) + ' ' + entry.name + ' ' + name(tensor.dtype()) +
            to_string(tensor.shape());
    if (!tensor.is_contiguous()) text += " with strides " + to_string(tensor.strides());
    if (tensor.requires_grad()) text += ", trained";
    text += '\n';
  };
  for (const NamedTensor& parameter : module.named_parameters()) add("parameter", parameter);
  for (const NamedTensor& buffer : module.named_buffers()) add("buffer", buffer);
  return text;
}

std::string line_or_nothing(std::istringstream& text) {
  std::string line;
  return std::getline(text, line) ? line : "nothing";
}

void check_same_model(const nn::ModuleBase& module, Communicator& communicator) {
  const std::vector<std::string> outlines =
      communicator.all_gather_text(outline(module), "comparison of the models");
  for (std::size_t rank = 1; rank < outlines.size(); ++rank) {
    if (outlines[rank] == outlines[0]) continue;
    std::istringstream ours(outlines[0]);
    std::istringstream theirs(outlines[rank]);
    std::string expected;
    std::string found;
    while (expected == found) {
      expected = line_or_nothing(ours);
      found = line_or_nothing(theirs);
    }
    fail(
        "DataParallel: the ranks have built different models: rank 0 has {}, where rank {} has {}; "
        "build the same one everywhere",
        expected, rank, found);
  }
}

void take_over_state(const StateDict& state, Communicator& communicator) {
  const NoGradGuard no_grad;
  for (const NamedTensor& entry : state) {
    const std::string purpose = "rank 0's " + entry.name;
    if (is_dense(entry.tensor.shape(), entry.tensor.strides())) {
      communicator.broadcast(entry.tensor, 0, purpose)->wait();
    } else {
      const Tensor copy = entry.tensor.contiguous();
      communicator.broadcast(copy, 0, purpose)->wait();
      entry.tensor.copy_(copy);
    }
  }
}

}  // namespace

DataParallelBase::DataParallelBase(nn::ModuleBase& module, Communicator& communicator,
                                   const DataParallelOptions& options)
    : module_(module), communicator_(communicator) {
  check(options.buckets.bucket_bytes > 0 && options.buckets.first_bucket_bytes > 0,
        "DataParallel: buckets of {} bytes (the first of {}) hold nothing",
        options.buckets.bucket_bytes, options.buckets.first_bucket_bytes);
  if (communicator.size() == 1) return;
  check_same_model(module, communicator);
  take_over_state(module.named_parameters(), communicator);
  take_over_state(module.named_buffers(), communicator);

  StateDict trained;
  for (const NamedTensor& parameter : module.named_parameters()) {
    trained_.push_back(parameter.tensor.requires_grad());
    if (trained_.back()) trained.push_back(parameter);
  }
  reducer_ = GradientReducer::create(trained, communicator, options.buckets);
  if (options.broadcast_buffers) make_buffer_groups();
}

void DataParallelBase::save(const std::string& path) const {
  if (communicator_.is_main()) minidl::save(module_, path);
  communicator_.barrier(path + " is written");
}

void DataParallelBase::set_local_samples(std::int64_t count) {
  check(count >= 0, "DataParallel: a batch cannot have {} samples", count);
  if (reducer_) reducer_->set_samples(count);
}

std::vector<std::int64_t> DataParallelBase::bucket_sizes() const {
  return reducer_ ? reducer_->bucket_sizes() : std::vector<std::int64_t>{};
}

void DataParallelBase::before_forward(const Tensors& inputs) {
  if (!reducer_) return;
  check_in_step("forward");
  if (grad_enabled()) {
    check_frozen(module_.named_parameters());
    const bool has_batch = !inputs.empty() && inputs.front().dim() > 0;
    reducer_->set_default_samples(has_batch ? inputs.front().size(0) : 1);
  }
  if (reducer_->paused()) {
    buffers_may_differ_ = buffers_may_differ_ || module_.training();
    return;
  }
  if (module_.training() || buffers_may_differ_) broadcast_buffers();
  buffers_may_differ_ = module_.training();
}

NoSyncGuard DataParallelBase::no_sync() {
  if (reducer_) check_in_step("no_sync");
  return NoSyncGuard(reducer_);
}

void DataParallelBase::check_in_step(const char* action) const {
  check(!reducer_->in_backward(),
        "DataParallel: {} during a backward, or after one that failed and left the ranks out of "
        "step; end the program in that case",
        action);
}

void DataParallelBase::check_frozen(const StateDict& parameters) const {
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    check(i < trained_.size() && parameters[i].tensor.requires_grad() == trained_[i],
          "DataParallel: {} was added, frozen or thawed since; make the DataParallel afterwards",
          parameters[i].name);
  }
}

void DataParallelBase::make_buffer_groups() {
  std::map<DType, StateDict> by_dtype;
  for (const NamedTensor& buffer : module_.named_buffers()) {
    by_dtype[buffer.tensor.dtype()].push_back(buffer);
  }
  for (const auto& [dtype, named] : by_dtype) {
    Tensors buffers;
    for (const NamedTensor& buffer : named) buffers.push_back(buffer.tensor);
    buffers_.push_back({.purpose = fmt::format("buffers {} ... {}, {} of {}", named.front().name,
                                               named.back().name, named.size(), dtype),
                        .buffers = buffers,
                        .flat = make_flat(buffers)});
  }
}

void DataParallelBase::broadcast_buffers() {
  const NoGradGuard no_grad;
  for (BufferGroup& group : buffers_) {
    if (communicator_.is_main()) {
      for (std::size_t i = 0; i < group.buffers.size(); ++i) {
        group.flat.views[i].copy_(group.buffers[i]);
      }
    }
    communicator_.broadcast(group.flat.block, 0, group.purpose)->wait();
    if (communicator_.is_main()) continue;
    for (std::size_t i = 0; i < group.buffers.size(); ++i) {
      group.buffers[i].copy_(group.flat.views[i]);
    }
  }
}

}  // namespace minidl::dist
