#include "minidl/core/ops/pool.h"

#include <limits>

#include "minidl/core/op.h"
#include "minidl/core/ops/attributes.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/pool.h"

namespace minidl {
namespace {

using kernels::Pool2dParams;
using kernels::PoolWindow;

// Shared by all four: the windows, and how many there are.
class Pool2d : public Op {
 public:
  Pool2d(const char* name, const Pool2dParams& params, const std::array<std::int64_t, 2>& adaptive,
         bool ceil_mode)
      : name_(name), params_(params), adaptive_(adaptive), ceil_mode_(ceil_mode) {}
  const char* name() const override { return name_; }
  std::string attributes() const override {
    if (params_.height.adaptive) return {};  // the output's shape says it all
    const auto& [height, width, count_include_pad] = params_;
    const std::array kernel{height.size, width.size};
    return Attributes()
        .add("kernel_size", kernel)
        .add("stride", std::array{height.stride, width.stride}, kernel)
        .add("padding", std::array{height.padding, width.padding}, {0, 0})
        .add("dilation", std::array{height.dilation, width.dilation}, {1, 1})
        .add("ceil_mode", ceil_mode_, false)
        .add("count_include_pad", count_include_pad, true)
        .text();
  }

 protected:
  const Pool2dParams& params() const { return params_; }

  TensorSpec output_spec(const TensorSpec& x) const {
    check(x.dim() == 4, "{}: the input must be [N, C, H, W], not {}", name_, x.shape);
    Shape shape = x.shape;
    shape[2] = output_extent(params_.height, x.shape[2], adaptive_[0]);
    shape[3] = output_extent(params_.width, x.shape[3], adaptive_[1]);
    TensorSpec y = x.with_shape(shape);
    if (is_dense(x.shape, x.strides)) y.strides = strides_like(shape, x.shape, x.strides);
    return y;
  }

  static Tensor gradient_of(const TensorSpec& x) {
    return empty_strided(x.shape, strides_like(x.shape, x.strides),
                         {.dtype = x.dtype, .device = x.device});
  }

 private:
  std::int64_t output_extent(const PoolWindow& window, std::int64_t extent,
                             std::int64_t adaptive) const {
    check(extent > 0, "{}: an image without pixels cannot be pooled", name_);
    if (window.adaptive) {
      check(adaptive > 0, "{}: the output extent must be positive, not {}", name_, adaptive);
      return adaptive;
    }
    check(window.size > 0 && window.stride > 0, "{}: window {} and stride {} must be positive",
          name_, window.size, window.stride);
    check(window.padding >= 0 && 2 * window.padding <= window.size,
          "{}: padding {} must be at most half the window of {}", name_, window.padding,
          window.size);
    constexpr std::int64_t kMostSpan = std::numeric_limits<std::int64_t>::max() / 4;
    check(window.dilation > 0 && window.dilation <= kMostSpan / window.size,
          "{}: dilation {} must be positive and not beyond reason", name_, window.dilation);
    const std::int64_t room = extent + 2 * window.padding - window.span();
    check(room + (ceil_mode_ ? window.stride - 1 : 0) >= 0,
          "{}: a window of {} does not fit an input of {} (padding {}, dilation {})", name_,
          window.size, extent, window.padding, window.dilation);
    if (!ceil_mode_) return room / window.stride + 1;
    const std::int64_t last = (room + window.stride - 1) / window.stride;
    const bool starts_inside = last * window.stride < extent + window.padding;
    return last + (starts_inside ? 1 : 0);
  }

  const char* name_;
  Pool2dParams params_;
  std::array<std::int64_t, 2> adaptive_;
  bool ceil_mode_;
};

class MaxPool2d final : public Pool2d {
 public:
  using Pool2d::Pool2d;
  // Output 1 holds where each maximum came from.
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    const TensorSpec y = output_spec(in[0]);
    return {y, y.with_dtype(i32)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::max_pool2d_forward(ctx, params(), in[0], out[0], out[1]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override { return {.outputs = 2}; }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const Tensor dx = gradient_of(ctx.input_spec(0));
    ExecContext exec = context_for(dx);
    kernels::max_pool2d_backward(exec, params(), grads[0].view(), ctx.output(1).view(), dx.view());
    return {dx};
  }
};

class AvgPool2d final : public Pool2d {
 public:
  using Pool2d::Pool2d;
  TensorSpecs infer(std::span<const TensorSpec> in) const override { return {output_spec(in[0])}; }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::avg_pool2d_forward(ctx, params(), in[0], out[0]);
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const Tensor dx = gradient_of(ctx.input_spec(0));
    ExecContext exec = context_for(dx);
    kernels::avg_pool2d_backward(exec, params(), grads[0].view(), dx.view());
    return {dx};
  }
};

template <class O>
Tensor pool2d(const char* name, const Tensor& x, const Pool2dOptions& options) {
  auto window = [&options](std::size_t i) {
    return PoolWindow{.size = options.kernel[i],
                      .stride = options.stride[i] == 0 ? options.kernel[i] : options.stride[i],
                      .padding = options.padding[i],
                      .dilation = options.dilation[i]};
  };
  const Pool2dParams params{
      .height = window(0), .width = window(1), .count_include_pad = options.count_include_pad};
  return apply_op<O>({x}, name, params, std::array<std::int64_t, 2>{}, options.ceil_mode);
}

template <class O>
Tensor adaptive_pool2d(const char* name, const Tensor& x,
                       const std::array<std::int64_t, 2>& output) {
  const PoolWindow window{.adaptive = true};
  const Pool2dParams params{.height = window, .width = window};
  return apply_op<O>({x}, name, params, output, false);
}

}  // namespace

Tensor max_pool2d(const Tensor& x, const Pool2dOptions& options) {
  return pool2d<MaxPool2d>("max_pool2d", x, options);
}
Tensor avg_pool2d(const Tensor& x, const Pool2dOptions& options) {
  check(options.dilation == std::array<std::int64_t, 2>{1, 1},
        "avg_pool2d: only max_pool2d has a dilation, got {} and {}", options.dilation[0],
        options.dilation[1]);
  return pool2d<AvgPool2d>("avg_pool2d", x, options);
}
Tensor adaptive_max_pool2d(const Tensor& x, const std::array<std::int64_t, 2>& output) {
  return adaptive_pool2d<MaxPool2d>("adaptive_max_pool2d", x, output);
}
Tensor adaptive_avg_pool2d(const Tensor& x, const std::array<std::int64_t, 2>& output) {
  return adaptive_pool2d<AvgPool2d>("adaptive_avg_pool2d", x, output);
}

}  // namespace minidl
