#include "minidl/core/autocast.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "minidl/core/autograd/tensor_impl.h"
#include "minidl/core/grad_mode.h"
#include "minidl/core/op.h"
#include "minidl/kernels/common/check.h"

namespace minidl {
namespace {

// A parameter's copy, good until the parameter changes. It holds the parameter, so that no other
// tensor takes its address.
struct CachedCast {
  Tensor parameter;
  Tensor copy;
  std::uint64_t version = 0;
};

struct State {
  DType dtype = f32;
  int scopes = 0;
  std::unordered_map<const autograd::TensorImpl*, CachedCast> casts;
};

thread_local State state;

bool is_leaf_parameter(const Tensor& tensor) {
  return tensor.requires_grad() && tensor.is_leaf();
}

// A copy made without recording must not serve where gradients are wanted, so only recorded ones
// are kept, and where nothing is recorded any will do.
Tensor cast(const Tensor& tensor, DType dtype) {
  if (tensor.dtype() == dtype) return tensor;
  if (tensor.is_fake() || !is_leaf_parameter(tensor)) return tensor.to(dtype);
  const autograd::TensorImpl* key = &tensor.impl();
  const std::uint64_t version = tensor.storage().version();
  const auto found = state.casts.find(key);
  if (found != state.casts.end() && found->second.version == version &&
      found->second.copy.dtype() == dtype) {
    return grad_enabled() ? found->second.copy : found->second.copy.detach();
  }
  const GradModeGuard recorded(true);
  const Tensor copy = tensor.to(dtype);
  state.casts.insert_or_assign(key, CachedCast{tensor, copy, version});
  return grad_enabled() ? copy : copy.detach();
}

bool takes_part(const Tensor& tensor) {
  return tensor.defined() && tensor.is_floating_point();
}

}  // namespace

Autocast::Autocast(DType dtype, bool enabled) : previous_(state.dtype) {
  check(dtype == f16 || dtype == bf16 || dtype == f32,
        "Autocast: the dtype must be bf16 or f16 (or f32, to switch it off), not {}", dtype);
  state.dtype = enabled ? dtype : f32;
  ++state.scopes;
}

Autocast::~Autocast() {
  state.dtype = previous_;
  if (--state.scopes == 0) state.casts.clear();
}

DType autocast_dtype() {
  return state.dtype;
}

namespace detail {

Tensors autocast_operands(const Op& op, const Tensors& inputs) {
  const AutocastRule rule = op.autocast();
  const bool any_f64 = std::any_of(inputs.begin(), inputs.end(), [](const Tensor& input) {
    return takes_part(input) && input.dtype() == f64;
  });
  if (rule == AutocastRule::as_given || any_f64) return inputs;
  const DType dtype = rule == AutocastRule::low_precision ? state.dtype : f32;
  Tensors result = inputs;
  for (Tensor& input : result) {
    if (takes_part(input)) input = cast(input, dtype);
  }
  return result;
}

}  // namespace detail
}  // namespace minidl
