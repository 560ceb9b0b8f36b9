// Conversions and copies of Tensor: to, contiguous, channels_last, clone.

#include "minidl/kernels/copy.h"

#include "minidl/core/copy_elements.h"
#include "minidl/core/op.h"
#include "minidl/core/ops/attributes.h"
#include "minidl/kernels/common/check.h"

namespace minidl {
namespace {

// Copies into a given layout.
class Copy : public Op {
 public:
  Copy(const char* name, const Strides& strides) : name_(name), strides_(strides) {}
  const char* name() const override { return name_; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    TensorSpec out = in[0].with_shape(in[0].shape);
    out.strides = strides_;
    return {out};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::copy(ctx, in[0], out[0]);
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const TensorSpec& input = ctx.input_spec(0);
    return {grads[0].to(input.device).to(input.dtype)};
  }

 private:
  const char* name_;
  Strides strides_;
};

class ToDType final : public Copy {
 public:
  ToDType(DType dtype, const Strides& strides) : Copy("to", strides), dtype_(dtype) {}
  std::string attributes() const override { return Attributes().add("dtype", dtype_).text(); }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    return {Copy::infer(in)[0].with_dtype(dtype_)};
  }

 private:
  DType dtype_;
};

class ToDevice final : public Copy {
 public:
  ToDevice(const Device& device, const Strides& strides) : Copy("to", strides), device_(device) {}
  std::string attributes() const override {
    return Attributes().add("device", to_string(device_)).text();
  }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    TensorSpec out = Copy::infer(in)[0];
    out.device = device_;
    return {out};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    copy_elements(in[0], ctx.device, out[0], device_);
  }

 private:
  Device device_;
};

}  // namespace

Tensor Tensor::to(DType dtype) const {
  if (dtype == this->dtype()) return *this;
  return apply_op<ToDType>({*this}, dtype, strides_like(shape(), strides()));
}

Tensor Tensor::to(const Device& device) const {
  if (device == this->device()) return *this;
  if (!is_fake()) require_available(device);
  return apply_op<ToDevice>({*this}, device, strides_like(shape(), strides()));
}

// The narrower elements travel.
Tensor Tensor::to(const Device& device, DType dtype) const {
  return size_of(dtype) < size_of(this->dtype()) ? to(dtype).to(device) : to(device).to(dtype);
}

Tensor Tensor::contiguous() const {
  if (is_contiguous()) return *this;
  return apply_op<Copy>({*this}, "contiguous", contiguous_strides(shape()));
}

Tensor Tensor::channels_last() const {
  check(dim() == 4, "channels_last: a 4-D tensor [N, C, H, W] is needed, got {}", shape());
  if (is_channels_last()) return *this;
  return apply_op<Copy>({*this}, "channels_last", channels_last_strides(shape()));
}

Tensor Tensor::clone() const {
  return apply_op<Copy>({*this}, "clone", strides_like(shape(), strides()));
}

}  // namespace minidl
