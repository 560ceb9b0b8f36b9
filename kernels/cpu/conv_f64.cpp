// Image by image and group by group: the patch of x under every output pixel becomes a row of a
// matrix ("columns", im2col), so that the convolution is a product with the weights.

#include "minidl/kernels/cpu/conv_f64.h"

#include <algorithm>

#include "minidl/kernels/common/parallel.h"
#include "minidl/kernels/cpu/gemm.h"

namespace minidl::kernels::cpu {
namespace {

struct Geometry {
  std::int64_t images, height, width, in_channels;
  std::int64_t out_height, out_width, out_channels;
  std::int64_t kernel_height, kernel_width;
  std::int64_t in_per_group, out_per_group;
  Conv2dParams params;

  Geometry(const Conv2dParams& conv, const Shape& x, const Shape& weight, const Shape& y)
      : images(x[0]),
        height(x[2]),
        width(x[3]),
        in_channels(x[1]),
        out_height(y[2]),
        out_width(y[3]),
        out_channels(y[1]),
        kernel_height(weight[2]),
        kernel_width(weight[3]),
        in_per_group(weight[1]),
        out_per_group(weight[0] / conv.groups),
        params(conv) {}

  std::int64_t out_pixels() const { return out_height * out_width; }
  std::int64_t patch() const { return kernel_height * kernel_width * in_per_group; }

  std::int64_t x_offset(std::int64_t image, std::int64_t group) const {
    return image * height * width * in_channels + group * in_per_group;
  }
  std::int64_t y_offset(std::int64_t image, std::int64_t group) const {
    return image * out_pixels() * out_channels + group * out_per_group;
  }
  std::int64_t weight_offset(std::int64_t group) const { return group * out_per_group * patch(); }

  /// Input row under row `r` of the kernel at output row `p`; columns likewise.
  std::int64_t row(std::int64_t p, std::int64_t r) const {
    return p * params.stride[0] - params.padding[0] + r * params.dilation[0];
  }
  std::int64_t col(std::int64_t q, std::int64_t s) const {
    return q * params.stride[1] - params.padding[1] + s * params.dilation[1];
  }

  Buffer columns(const ExecContext& ctx) const {
    return ctx.workspace(static_cast<std::size_t>(out_pixels() * patch()) * sizeof(double));
  }
};

/// columns[p * Q + q, r, s, c] = x[row, col, c], zero in the padding. `x` starts at the image and
/// group.
void gather_patches(const Geometry& geo, const double* x, double* columns) {
  parallel_for(geo.out_height, 1, [&](std::int64_t begin, std::int64_t end) {
    double* to = columns + begin * geo.out_width * geo.patch();
    for (std::int64_t p = begin; p < end; ++p) {
      for (std::int64_t q = 0; q < geo.out_width; ++q) {
        for (std::int64_t r = 0; r < geo.kernel_height; ++r) {
          const std::int64_t h = geo.row(p, r);
          for (std::int64_t s = 0; s < geo.kernel_width; ++s, to += geo.in_per_group) {
            const std::int64_t w = geo.col(q, s);
            const bool inside = h >= 0 && h < geo.height && w >= 0 && w < geo.width;
            if (inside) {
              std::copy_n(x + (h * geo.width + w) * geo.in_channels, geo.in_per_group, to);
            } else {
              std::fill_n(to, geo.in_per_group, 0.0);
            }
          }
        }
      }
    }
  });
}

/// The transpose of gather_patches: dx = the sum of everything that was gathered from there. One
/// task per row of dx, so that no two tasks write to the same place.
void scatter_patches(const Geometry& geo, const double* columns, double* dx) {
  parallel_for(geo.height, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t h = begin; h < end; ++h) {
      double* dx_row = dx + h * geo.width * geo.in_channels;
      for (std::int64_t w = 0; w < geo.width; ++w) {
        std::fill_n(dx_row + w * geo.in_channels, geo.in_per_group, 0.0);
      }
      for (std::int64_t r = 0; r < geo.kernel_height; ++r) {
        const std::int64_t from_top = h - geo.row(0, r);
        const std::int64_t p = from_top / geo.params.stride[0];
        if (from_top < 0 || from_top % geo.params.stride[0] != 0 || p >= geo.out_height) continue;
        for (std::int64_t q = 0; q < geo.out_width; ++q) {
          for (std::int64_t s = 0; s < geo.kernel_width; ++s) {
            const std::int64_t w = geo.col(q, s);
            if (w < 0 || w >= geo.width) continue;
            const double* from = columns + (p * geo.out_width + q) * geo.patch() +
                                 (r * geo.kernel_width + s) * geo.in_per_group;
            double* to = dx_row + w * geo.in_channels;
            for (std::int64_t c = 0; c < geo.in_per_group; ++c) to[c] += from[c];
          }
        }
      }
    }
  });
}

template <class Body>
void for_each_image_and_group(const Geometry& geo, const Body& body) {
  for (std::int64_t image = 0; image < geo.images; ++image) {
    for (std::int64_t group = 0; group < geo.params.groups; ++group) body(image, group);
  }
}

}  // namespace

void conv2d_forward_f64(ExecContext& ctx, const Conv2dParams& params, const View& x,
                        const View& weight, const View& y) {
  const Geometry geo(params, x.shape, weight.shape, y.shape);
  const Buffer memory = geo.columns(ctx);
  auto* columns = memory.as<double>();
  for_each_image_and_group(geo, [&](std::int64_t image, std::int64_t group) {
    gather_patches(geo, x.ptr<double>() + geo.x_offset(image, group), columns);
    const double* w = weight.ptr<double>() + geo.weight_offset(group);
    gemm(ctx, geo.out_pixels(), geo.out_per_group, geo.patch(), {columns, geo.patch(), 1},
         {w, 1, geo.patch()}, y.ptr<double>() + geo.y_offset(image, group), geo.out_channels, true);
  });
}

void conv2d_backward_input_f64(ExecContext& ctx, const Conv2dParams& params, const View& dy,
                               const View& weight, const View& dx) {
  const Geometry geo(params, dx.shape, weight.shape, dy.shape);
  const Buffer memory = geo.columns(ctx);
  auto* columns = memory.as<double>();
  for_each_image_and_group(geo, [&](std::int64_t image, std::int64_t group) {
    const double* dy_pixels = dy.ptr<double>() + geo.y_offset(image, group);
    const double* w = weight.ptr<double>() + geo.weight_offset(group);
    gemm(ctx, geo.out_pixels(), geo.patch(), geo.out_per_group, {dy_pixels, geo.out_channels, 1},
         {w, geo.patch(), 1}, columns, geo.patch(), false);
    scatter_patches(geo, columns, dx.ptr<double>() + geo.x_offset(image, group));
  });
}

void conv2d_backward_weight_f64(ExecContext& ctx, const Conv2dParams& params, const View& dy,
                                const View& x, const View& dweight) {
  const Geometry geo(params, x.shape, dweight.shape, dy.shape);
  const Buffer memory = geo.columns(ctx);
  auto* columns = memory.as<double>();
  for_each_image_and_group(geo, [&](std::int64_t image, std::int64_t group) {
    gather_patches(geo, x.ptr<double>() + geo.x_offset(image, group), columns);
    const double* dy_pixels = dy.ptr<double>() + geo.y_offset(image, group);
    gemm(ctx, geo.out_per_group, geo.patch(), geo.out_pixels(), {dy_pixels, 1, geo.out_channels},
         {columns, geo.patch(), 1}, dweight.ptr<double>() + geo.weight_offset(group), geo.patch(),
         true);
  });
}

}  // namespace minidl::kernels::cpu
