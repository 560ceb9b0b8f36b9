#include "minidl/core/op.h"

#include <algorithm>
#include <utility>

#include "minidl/core/anomaly.h"
#include "minidl/core/autograd/node.h"
#include "minidl/core/autograd/tensor_impl.h"
#include "minidl/core/grad_mode.h"
#include "minidl/core/module_path.h"
#include "minidl/core/profiler.h"
#include "minidl/kernels/common/check.h"

namespace minidl {

TensorSpec TensorSpec::with_shape(const Shape& new_shape) const {
  TensorSpec spec;
  spec.shape = new_shape;
  spec.strides = contiguous_strides(new_shape);
  spec.dtype = dtype;
  spec.device = device;
  return spec;
}

TensorSpec TensorSpec::with_dtype(DType new_dtype) const {
  TensorSpec spec = *this;
  spec.dtype = new_dtype;
  return spec;
}

Tensors Op::backward(const BackwardContext& /*ctx*/, const Tensors& /*grads*/) const {
  fail("{} has no backward", name());
}

Saves Op::saves(const std::vector<bool>& /*needs_grad*/) const {
  return {};
}

TensorSpec spec_of(const Tensor& tensor) {
  TensorSpec spec;
  spec.defined = tensor.defined();
  if (!spec.defined) return spec;
  spec.shape = tensor.shape();
  spec.strides = tensor.strides();
  spec.dtype = tensor.dtype();
  spec.device = tensor.device();
  spec.offset = tensor.storage_offset();
  return spec;
}

ExecContext context_for(const Tensor& tensor) {
  return {.device = tensor.device()};
}

TensorSpec elementwise_spec(const char* op, std::span<const TensorSpec> inputs) {
  Shape shape = inputs[0].shape;
  for (const TensorSpec& input : inputs.subspan(1)) {
    shape = broadcast_shapes(op, shape, input.shape);
  }
  TensorSpec out = inputs[0].with_shape(shape);
  for (const TensorSpec& input : inputs) {
    if (input.shape == shape && is_dense(shape, input.strides)) {
      out.strides = strides_like(shape, input.strides);
      break;
    }
  }
  return out;
}

namespace {

thread_local std::vector<OpObserver*> observers;

Device common_device(const Op& op, const Tensors& inputs) {
  const Tensor* first = nullptr;
  for (const Tensor& input : inputs) {
    if (!input.defined()) continue;
    if (first == nullptr) first = &input;
    check(input.device() == first->device(),
          "{}: operands are on {} and on {}; move them to one device with .to(device)", op.name(),
          to_string(first->device()), to_string(input.device()));
  }
  check(first != nullptr, "{}: no operand is defined", op.name());
  return first->device();
}

bool any_fake(const Tensors& inputs) {
  return std::any_of(inputs.begin(), inputs.end(),
                     [](const Tensor& input) { return input.defined() && input.is_fake(); });
}

Tensor make_output(const TensorSpec& spec, const Tensors& inputs, bool is_fake) {
  if (!spec.alias_offset) {
    return (is_fake ? fake_strided : empty_strided)(spec.shape, spec.strides,
                                                    {.dtype = spec.dtype, .device = spec.device});
  }
  auto impl = std::make_shared<autograd::TensorImpl>();
  impl->storage = inputs[0].storage();
  impl->offset = *spec.alias_offset;
  impl->shape = spec.shape;
  impl->strides = spec.strides;
  impl->dtype = spec.dtype;
  return Tensor(std::move(impl));
}

std::vector<kernels::View> views_of(const Op& op, const Tensors& tensors) {
  std::vector<kernels::View> views;
  views.reserve(tensors.size());
  for (const Tensor& tensor : tensors) {
    if (tensor.defined() && tensor.storage().released()) {
      fail("{}: the storage behind its operand {} was released: materialize it first", op.name(),
           describe(tensor));
    }
    views.push_back(tensor.defined() ? tensor.view() : kernels::View{});
  }
  return views;
}

bool wants_recording(const Op& op, const Tensors& inputs) {
  return grad_enabled() && op.differentiable() &&
         std::any_of(inputs.begin(), inputs.end(),
                     [](const Tensor& input) { return input.defined() && input.requires_grad(); });
}

void record(const std::shared_ptr<const Op>& op, const Tensors& inputs, const Tensors& outputs,
            const TensorSpecs& input_specs, const TensorSpecs& output_specs) {
  auto node = std::make_shared<autograd::OpNode>(op, inputs, outputs, input_specs);
  if (detecting_anomalies() || ProfileScope::running())
    node->set_module_path(current_module_path());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (!output_specs[i].differentiable || !is_floating_point(output_specs[i].dtype)) continue;
    autograd::TensorImpl& impl = outputs[i].impl();
    impl.requires_grad = true;
    impl.grad_fn = node;
    impl.output_index = static_cast<int>(i);
  }
}

}  // namespace

namespace {

// An op may be made of others: inside its compute nothing is recorded or cast and nobody is told.
class Unobserved {
 public:
  Unobserved() : hidden_(std::exchange(observers, {})) {}
  ~Unobserved() { observers = std::move(hidden_); }
  Unobserved(const Unobserved&) = delete;
  Unobserved& operator=(const Unobserved&) = delete;

 private:
  std::vector<OpObserver*> hidden_;
  NoGradGuard no_grad_;
  Autocast off_{f32};
};

Tensors run_op(const std::shared_ptr<const Op>& op, const Tensors& inputs) {
  const ProfileScope profile(ProfileEvent::Kind::op, op->name(), &inputs);
  ExecContext ctx{.device = common_device(*op, inputs)};
  TensorSpecs input_specs;
  input_specs.reserve(inputs.size());
  for (const Tensor& input : inputs) input_specs.push_back(spec_of(input));

  const TensorSpecs output_specs = op->infer(input_specs);
  Tensors outputs;
  outputs.reserve(output_specs.size());
  const bool is_fake = any_fake(inputs);
  bool all_alias = true;
  for (const TensorSpec& spec : output_specs) {
    outputs.push_back(make_output(spec, inputs, is_fake));
    all_alias = all_alias && spec.alias_offset.has_value();
  }
  if (!all_alias && !is_fake) {
    const Unobserved inside;
    op->compute(ctx, views_of(*op, inputs), views_of(*op, outputs));
  }
  if (detecting_anomalies()) detail::check_results(op->name(), inputs, outputs);
  if (wants_recording(*op, inputs)) record(op, inputs, outputs, input_specs, output_specs);
  for (OpObserver* observer : observers) observer->on_op(op, inputs, outputs);
  return outputs;
}

}  // namespace

OpObserver::OpObserver() {
  observers.push_back(this);
}

OpObserver::~OpObserver() {
  observers.erase(std::find(observers.begin(), observers.end(), this));
}

Tensors apply_op(const std::shared_ptr<const Op>& op, const Tensors& given) {
  if (autocast_enabled()) return run_op(op, detail::autocast_operands(*op, given));
  return run_op(op, given);
}

}  // namespace minidl
