#include "minidl/core/ops/upsample.h"

#include "minidl/core/op.h"
#include "minidl/core/ops/attributes.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/upsample.h"

namespace minidl {
namespace {

using kernels::Upsample2dParams;

constexpr double kMostPixels = 1LL << 40;  // along a dimension; beyond, it is a mistake

class Upsample2d final : public Op {
 public:
  Upsample2d(const std::array<std::int64_t, 2>& size, const Upsample2dParams& params)
      : size_(size), params_(params) {}
  const char* name() const override { return "interpolate"; }
  std::string attributes() const override {
    return Attributes()
        .add("size", size_)
        .add("mode", params_.bilinear ? "bilinear" : "nearest")
        .add("align_corners", params_.align_corners, false)
        .text();
  }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    const TensorSpec& x = in[0];
    const Shape shape{x.shape[0], x.shape[1], size_[0], size_[1]};
    check(x.shape[2] > 0 && x.shape[3] > 0, "interpolate: an image {} has no pixels", x.shape);
    TensorSpec y = x.with_shape(shape);
    if (is_dense(x.shape, x.strides)) y.strides = strides_like(shape, x.shape, x.strides);
    return {y};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::upsample2d_forward(ctx, params_, in[0], out[0]);
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const TensorSpec& x = ctx.input_spec(0);
    const Tensor dx = empty_strided(x.shape, strides_like(x.shape, x.strides),
                                    {.dtype = x.dtype, .device = x.device});
    ExecContext exec = context_for(dx);
    kernels::upsample2d_backward(exec, params_, grads[0].view(), dx.view());
    return {dx};
  }

 private:
  std::array<std::int64_t, 2> size_;
  Upsample2dParams params_;
};

}  // namespace

Tensor interpolate(const Tensor& x, const InterpolateOptions& options) {
  check(x.dim() == 4, "interpolate: the input must be [N, C, H, W], not {}", x.shape());
  check(options.size.has_value() != options.scale_factor.has_value(),
        "interpolate: give either size or scale_factor");
  check(!options.align_corners || options.mode == InterpolateMode::bilinear,
        "interpolate: align_corners is for InterpolateMode::bilinear");
  Upsample2dParams params{.bilinear = options.mode == InterpolateMode::bilinear,
                          .align_corners = options.align_corners};
  std::array<std::int64_t, 2> size{};
  for (std::size_t i = 0; i < 2; ++i) {
    if (options.size) {
      size[i] = (*options.size)[i];
    } else {
      params.scale[i] = (*options.scale_factor)[i];
      const double extent = static_cast<double>(x.size(static_cast<int>(i) + 2)) * params.scale[i];
      check(params.scale[i] > 0 && extent < kMostPixels,
            "interpolate: scale_factor must be a positive number of a reasonable size, not {}",
            params.scale[i]);
      size[i] = static_cast<std::int64_t>(extent);
    }
  }
  check(size[0] > 0 && size[1] > 0,
        "interpolate: images {} cannot become {}x{}; an output needs pixels", x.shape(), size[0],
        size[1]);
  return apply_op<Upsample2d>({x}, size, params);
}

}  // namespace minidl
