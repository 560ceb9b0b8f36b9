#include "minidl/nn/train/ema.h"

#include <algorithm>

#include "minidl/core/grad_mode.h"
#include "minidl/kernels/common/check.h"

namespace minidl::train {
namespace {

constexpr const char* kUpdates = "num_updates";

const Tensor* find(const StateDict& state, const std::string& name) {
  const auto entry = std::find_if(state.begin(), state.end(),
                                  [&](const NamedTensor& named) { return named.name == name; });
  return entry == state.end() ? nullptr : &entry->tensor;
}

}  // namespace

ExponentialMovingAverage::ExponentialMovingAverage(const nn::ModuleBase& module,
                                                   const EmaOptions& options)
    : options_(options) {
  check(options.decay >= 0 && options.decay <= 1,
        "ExponentialMovingAverage: decay must be between 0 and 1, not {}", options.decay);
  StateDict values = module.named_parameters();
  if (options.buffers) {
    for (const NamedTensor& buffer : module.named_buffers()) values.push_back(buffer);
  }
  for (const NamedTensor& named : values) {
    if (!named.tensor.is_floating_point()) continue;
    const Tensor average = named.tensor.detach().clone().set_memory_tag(MemoryTag::param);
    entries_.push_back({named.name, named.tensor, average});
  }
}

void ExponentialMovingAverage::check_not_swapped(const char* what) const {
  check(!swapped_, "ExponentialMovingAverage: {} while the module has the averages; swap() first",
        what);
}

void ExponentialMovingAverage::update() {
  check_not_swapped("update");
  const NoGradGuard no_grad;
  const auto n = static_cast<double>(updates_);
  const double decay =
      options_.warmup ? std::min(options_.decay, (1 + n) / (10 + n)) : options_.decay;
  for (const Entry& entry : entries_) {
    check(entry.value.dtype() == entry.average.dtype() &&
              entry.value.device() == entry.average.device(),
          "ExponentialMovingAverage: {} is {} now but was {}; make a new average after converting "
          "or moving a model",
          entry.name, describe(entry.value), describe(entry.average));
    entry.average.mul_(decay);
    entry.average.add_(entry.value, 1 - decay);
  }
  ++updates_;
}

void ExponentialMovingAverage::swap() {
  const NoGradGuard no_grad;
  for (const Entry& entry : entries_) {
    const Tensor value = entry.value.clone();
    entry.value.copy_(entry.average);
    entry.average.copy_(value);
  }
  swapped_ = !swapped_;
}

StateDict ExponentialMovingAverage::state_dict() const {
  check_not_swapped("state_dict");
  StateDict state;
  for (const Entry& entry : entries_) state.push_back({entry.name, entry.average});
  const auto updates = static_cast<double>(updates_);
  state.push_back({kUpdates, tensor({updates}, {}, {.dtype = i64, .device = cpu})});
  return state;
}

void ExponentialMovingAverage::load_state_dict(const StateDict& state) {
  check_not_swapped("load_state_dict");
  const NoGradGuard no_grad;
  const Tensor* const updates = find(state, kUpdates);
  check(updates != nullptr, "ExponentialMovingAverage: the state has no {}", kUpdates);
  Tensors averages;
  for (const Entry& entry : entries_) {
    const Tensor* const average = find(state, entry.name);
    check(average != nullptr && average->shape() == entry.average.shape(),
          "ExponentialMovingAverage: the state has {} for {}, which is {}",
          average == nullptr ? "nothing" : describe(*average), entry.name, describe(entry.average));
    averages.push_back(*average);
  }
  for (std::size_t i = 0; i < entries_.size(); ++i) entries_[i].average.copy_(averages[i]);
  updates_ = static_cast<std::int64_t>(updates->item());
}

}  // namespace minidl::train
