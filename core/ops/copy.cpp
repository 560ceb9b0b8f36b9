// Conversions and copies of Tensor: to, contiguous, channels_last, clone.

#include "minidl/kernels/copy.h"

#include "minidl/core/op.h"
#include "minidl/kernels/common/check.h"

namespace minidl {
namespace {

// Copies into a given dtype and layout.
class Copy final : public Op {
 public:
  Copy(const char* name, DType dtype, const Strides& strides)
      : name_(name), dtype_(dtype), strides_(strides) {}
  const char* name() const override { return name_; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    TensorSpec out = in[0].with_shape(in[0].shape).with_dtype(dtype_);
    out.strides = strides_;
    return {out};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::copy(ctx, in[0], out[0]);
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    return {grads[0].to(ctx.input_spec(0).dtype)};
  }

 private:
  const char* name_;
  DType dtype_;
  Strides strides_;
};

}  // namespace

Tensor Tensor::to(DType dtype) const {
  if (dtype == this->dtype()) return *this;
  return apply_op<Copy>({*this}, "to", dtype, strides_like(shape(), strides()));
}

Tensor Tensor::to(const Device& device) const {
  if (device != this->device()) require_available(device);
  return *this;
}

Tensor Tensor::contiguous() const {
  if (is_contiguous()) return *this;
  return apply_op<Copy>({*this}, "contiguous", dtype(), contiguous_strides(shape()));
}

Tensor Tensor::channels_last() const {
  check(dim() == 4, "channels_last: a 4-D tensor [N, C, H, W] is needed, got {}", shape());
  if (is_channels_last()) return *this;
  return apply_op<Copy>({*this}, "channels_last", dtype(), channels_last_strides(shape()));
}

Tensor Tensor::clone() const {
  return apply_op<Copy>({*this}, "clone", dtype(), strides_like(shape(), strides()));
}

}  // namespace minidl
