#include "minidl/core/tensor.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "minidl/core/autograd/engine.h"
#include "minidl/core/autograd/node.h"
#include "minidl/core/autograd/tensor_impl.h"
#include "minidl/core/copy_elements.h"
#include "minidl/core/op.h"
#include "minidl/core/random.h"
#include "minidl/core/stream_use.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/copy.h"

namespace minidl {

using autograd::TensorImpl;

TensorImpl& Tensor::impl() const {
  check(impl_ != nullptr, "this tensor is undefined");
  return *impl_;
}

const Shape& Tensor::shape() const {
  return impl().shape;
}
const Strides& Tensor::strides() const {
  return impl().strides;
}
std::int64_t Tensor::size(std::int64_t dim) const {
  return shape()[normalize_dim("size", dim, this->dim())];
}
DType Tensor::dtype() const {
  return impl().dtype;
}
Device Tensor::device() const {
  return impl().storage.device();
}
const Storage& Tensor::storage() const {
  return impl().storage;
}
std::int64_t Tensor::storage_offset() const {
  return impl().offset;
}

void Tensor::require_dtype(DType wanted) const {
  check(dtype() == wanted, "data: the elements are {}, not {}", dtype(), wanted);
}

void* Tensor::raw_data() const {
  const TensorImpl& self = impl();
  if (is_fake()) fail("data: {} has no elements", describe(*this));
  void* base = self.storage.data();
  if (base == nullptr) return nullptr;
  return static_cast<char*>(base) + self.offset * static_cast<std::int64_t>(size_of(self.dtype));
}

kernels::View Tensor::view() const {
  const TensorImpl& self = impl();
  return {.data = raw_data(),
          .dtype = self.dtype,
          .shape = self.shape,
          .strides = self.strides,
          .defined = true};
}

void Tensor::copy_to_host(void* values, DType dtype) const {
  if (is_fake()) fail("to_vector: {} has no elements", describe(*this));
  copy_elements(view(), device(), row_major_view(values, dtype, shape()), cpu);
}

void Tensor::require_one_element() const {
  check(numel() == 1, "item: a tensor of shape {} has {} elements, not one", shape(), numel());
  if (is_fake()) fail("item: {} has no elements", describe(*this));
}

const Tensor& Tensor::set_memory_tag(MemoryTag tag) const {
  impl().storage.set_tag(tag);
  return *this;
}

const Tensor& Tensor::record_stream(const Stream& stream) const {
  storage().add_use(std::make_shared<StreamUse>(device(), stream));
  return *this;
}

bool Tensor::requires_grad() const {
  return impl().requires_grad;
}

const Tensor& Tensor::set_requires_grad(bool value) const {
  check(is_leaf(), "set_requires_grad: this tensor was computed by {}; use detach() to cut it off",
        is_leaf() ? "" : grad_fn()->name());
  check(!value || is_floating_point(), "set_requires_grad: {} tensors have no gradient", dtype());
  impl().requires_grad = value;
  return *this;
}

bool Tensor::is_leaf() const {
  return impl().grad_fn == nullptr;
}

const std::shared_ptr<autograd::Node>& Tensor::grad_fn() const {
  return impl().grad_fn;
}

Tensor Tensor::grad() const {
  return impl().grad_valid ? impl().grad : Tensor();
}

void Tensor::set_grad(const Tensor& grad) const {
  set_grad_storage(grad);
  impl().grad_valid = grad.defined();
}

void Tensor::set_grad_storage(const Tensor& grad) const {
  if (grad.defined()) {
    check(grad.shape() == shape() && grad.dtype() == dtype() && grad.device() == device() &&
              grad.is_fake() == is_fake(),
          "set_grad: a gradient for {} cannot be {}", describe(*this), describe(grad));
  }
  impl().grad = grad;
  impl().grad_valid = false;
}

void Tensor::zero_grad() const {
  impl().grad_valid = false;
}

void Tensor::backward(const Tensor& gradient, bool retain_graph) const {
  autograd::backward(*this, gradient, retain_graph);
}

Tensor Tensor::detach() const {
  const TensorImpl& self = impl();
  auto copy = std::make_shared<TensorImpl>();
  copy->storage = self.storage;
  copy->offset = self.offset;
  copy->shape = self.shape;
  copy->strides = self.strides;
  copy->dtype = self.dtype;
  return Tensor(std::move(copy));
}

HookHandle Tensor::register_hook(std::function<Tensor(const Tensor&)> hook) const {
  check(requires_grad(), "register_hook: this tensor does not require a gradient");
  if (is_leaf()) return impl().hooks.add(std::move(hook));
  return impl().grad_fn->add_hook(impl().output_index, std::move(hook));
}

HookHandle Tensor::register_post_accumulate_grad_hook(
    std::function<void(const Tensor&)> hook) const {
  check(is_leaf() && requires_grad(),
        "register_post_accumulate_grad_hook: only leaves that require a gradient accumulate one");
  return impl().post_accumulate_hooks.add(std::move(hook));
}

void Tensor::set_data(const Tensor& other) const {
  check(is_leaf(), "set_data: only leaves can change what they look at");
  TensorImpl& self = impl();
  const TensorImpl& source = other.impl();
  const bool grad_fits = self.shape == source.shape && self.dtype == source.dtype &&
                         self.storage.device() == source.storage.device();
  self.storage = source.storage;
  self.offset = source.offset;
  self.shape = source.shape;
  self.strides = source.strides;
  self.dtype = source.dtype;
  if (!grad_fits) set_grad({});
}

std::string describe(const Tensor& tensor) {
  if (!tensor.defined()) return "undefined";
  return fmt::format("{}{}{} on {}", tensor.is_fake() ? "fake " : "", tensor.dtype(),
                     tensor.shape(), to_string(tensor.device()));
}

namespace {

// One past the last element that a tensor of this geometry touches.
std::int64_t span_of(const Shape& shape, const Strides& strides) {
  std::int64_t last = 0;
  for (int i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0) return 0;
    last += (shape[i] - 1) * strides[i];
  }
  return last + 1;
}

Tensor make_tensor(Storage storage, const Shape& shape, const Strides& strides,
                   const TensorOptions& options) {
  auto impl = std::make_shared<TensorImpl>();
  impl->storage = std::move(storage);
  impl->shape = shape;
  impl->strides = strides;
  impl->dtype = options.dtype;
  Tensor tensor(std::move(impl));
  if (options.requires_grad) tensor.set_requires_grad();
  return tensor;
}

// Refuses what the arithmetic of strides and sizes could not hold.
void check_shape(const char* op, const Shape& shape) {
  std::int64_t elements = std::numeric_limits<std::int64_t>::max() / 16;
  for (const std::int64_t extent : shape) {
    check(extent >= 0, "{}: shape {} has a negative extent", op, shape);
    elements /= std::max<std::int64_t>(extent, 1);
  }
  check(elements > 0, "{}: a tensor of shape {} would be too large for any memory", op, shape);
}

void check_strides(const char* op, const Shape& shape, const Strides& strides) {
  check(strides.size() == shape.size(), "{}: shape {} and strides {} differ in rank", op, shape,
        strides);
  for (const std::int64_t stride : strides) {
    check(stride >= 0, "{}: strides {} must not be negative", op, strides);
  }
}

Tensor make_empty(const Shape& shape, const Strides& strides, const TensorOptions& options) {
  const auto bytes = static_cast<std::size_t>(span_of(shape, strides)) * size_of(options.dtype);
  return make_tensor(Storage(bytes, options.device), shape, strides, options);
}

Tensor make_fake(const Shape& shape, const Strides& strides, const TensorOptions& options) {
  const auto bytes = static_cast<std::size_t>(span_of(shape, strides)) * size_of(options.dtype);
  return make_tensor(Storage::fake(bytes, options.device), shape, strides, options);
}

}  // namespace

Tensor empty_strided(const Shape& shape, const Strides& strides, const TensorOptions& options) {
  check_shape("empty_strided", shape);
  check_strides("empty_strided", shape, strides);
  return make_empty(shape, strides, options);
}

Tensor empty(const Shape& shape, const TensorOptions& options) {
  check_shape("empty", shape);
  return make_empty(shape, contiguous_strides(shape), options);
}

Tensor fake(const Shape& shape, const TensorOptions& options) {
  check_shape("fake", shape);
  return make_fake(shape, contiguous_strides(shape), options);
}

Tensor fake_strided(const Shape& shape, const Strides& strides, const TensorOptions& options) {
  check_shape("fake", shape);
  check_strides("fake", shape, strides);
  return make_fake(shape, strides, options);
}

Tensor full(const Shape& shape, double value, const TensorOptions& options) {
  Tensor result = empty(shape, options);
  ExecContext ctx = context_for(result);
  kernels::fill(ctx, result.view(), value);
  return result;
}

Tensor zeros(const Shape& shape, const TensorOptions& options) {
  return full(shape, 0, options);
}
Tensor ones(const Shape& shape, const TensorOptions& options) {
  return full(shape, 1, options);
}
Tensor scalar(double value, const TensorOptions& options) {
  return full({}, value, options);
}

Tensor arange(std::int64_t end, const TensorOptions& options) {
  Tensor result = empty({end}, options);
  ExecContext ctx = context_for(result);
  kernels::arange(ctx, result.view(), 0, 1);
  return result;
}

Tensor rand(const Shape& shape, const TensorOptions& options) {
  Tensor result = empty(shape, options);
  ExecContext ctx = context_for(result);
  kernels::uniform(ctx, default_generator().next(), 0, 1, result.view());
  return result;
}

Tensor randn(const Shape& shape, const TensorOptions& options) {
  Tensor result = empty(shape, options);
  ExecContext ctx = context_for(result);
  kernels::normal(ctx, default_generator().next(), 0, 1, result.view());
  return result;
}

Tensor tensor(const std::vector<double>& values, const Shape& shape, const TensorOptions& options) {
  check_shape("tensor", shape);
  check(static_cast<std::int64_t>(values.size()) == numel(shape),
        "tensor: {} values do not fill a tensor of shape {}", values.size(), shape);
  Tensor result = empty(shape, options);
  auto* source = const_cast<double*>(values.data());  // views are for writing, too
  copy_elements(row_major_view(source, f64, shape), cpu, result.view(), options.device);
  return result;
}

Tensor empty_like(const Tensor& other) {
  const Strides strides = strides_like(other.shape(), other.strides());
  const TensorOptions options{.dtype = other.dtype(), .device = other.device()};
  return (other.is_fake() ? make_fake : make_empty)(other.shape(), strides, options);
}

Tensor zeros_like(const Tensor& other) {
  Tensor result = empty_like(other);
  if (result.is_fake()) return result;
  ExecContext ctx = context_for(result);
  kernels::fill(ctx, result.view(), 0);
  return result;
}

Tensor from_blob(void* data, const Shape& shape, const BlobOptions& options, const Strides& strides,
                 std::function<void(void*)> deleter) {
  check_shape("from_blob", shape);
  const Strides layout = strides.empty() ? contiguous_strides(shape) : strides;
  check_strides("from_blob", shape, layout);
  const DType dtype = options.dtype.value_or(f32);
  const auto bytes = static_cast<std::size_t>(span_of(shape, layout)) * size_of(dtype);
  check(data != nullptr || bytes == 0, "from_blob: the pointer is null but shape {} is not empty",
        shape);
  return make_tensor(Storage::borrow(data, bytes, options.device, std::move(deleter)), shape,
                     layout, {.dtype = dtype, .requires_grad = options.requires_grad});
}

}  // namespace minidl
