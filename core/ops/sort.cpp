#include "minidl/core/ops/sort.h"

#include <algorithm>

#include "minidl/core/grad_mode.h"
#include "minidl/core/op.h"
#include "minidl/core/ops/attributes.h"
#include "minidl/core/ops/comparison.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/index_gradients.h"
#include "minidl/core/ops/indexing.h"
#include "minidl/core/ops/scan.h"
#include "minidl/core/ops/shape.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/sort.h"

namespace minidl {
namespace {

// The first `count` elements along a dimension in order. Outputs: values, indices.
class Sort final : public Op {
 public:
  Sort(const char* name, int dim, std::int64_t count, const kernels::SortParams& params)
      : name_(name), dim_(dim), count_(count), params_(params) {}
  const char* name() const override { return name_; }
  std::string attributes() const override {
    return Attributes()
        .add("dim", dim_)
        .add("k", count_)
        .add("descending", params_.descending, false)
        .add("sorted", params_.sorted, true)
        .text();
  }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    Shape shape = in[0].shape;
    shape[dim_] = count_;
    TensorSpec values = in[0].with_shape(shape);
    if (is_dense(in[0].shape, in[0].strides)) {
      values.strides = strides_like(shape, in[0].shape, in[0].strides);
    }
    return {values, values.with_dtype(i64)};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::sort(ctx, params_, in[0], dim_, out[0], out[1]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override { return {.outputs = 2}; }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    return {picked_gradient(ctx.input_spec(0), dim_, ctx.output(1), grads[0])};
  }

 private:
  const char* name_;
  int dim_;
  std::int64_t count_;
  kernels::SortParams params_;
};

// `count` -1 takes all.
ValuesAndIndices first_in_order(const char* name, const Tensor& x, std::int64_t dim,
                                std::int64_t count, const kernels::SortParams& params) {
  const int at = normalize_dim(name, dim, std::max(x.dim(), 1));
  const Tensor lines = x.dim() == 0 ? x.reshape({1}) : x;
  const std::int64_t length = lines.size(at);
  if (count == -1) count = length;
  check(count >= 0 && count <= length, "{}: k is {}, but dimension {} of shape {} has {} elements",
        name, count, at, x.shape(), length);
  const Tensors sorted = apply_op(std::make_shared<Sort>(name, at, count, params), {lines});
  if (x.dim() > 0 || count == 0) return {sorted[0], sorted[1]};
  return {sorted[0].reshape({}), sorted[1].reshape({})};
}

}  // namespace

ValuesAndIndices sort(const Tensor& x, std::int64_t dim, bool descending) {
  return first_in_order("sort", x, dim, -1, {.descending = descending});
}

Tensor argsort(const Tensor& x, std::int64_t dim, bool descending) {
  return first_in_order("argsort", x.detach(), dim, -1, {.descending = descending}).indices;
}

ValuesAndIndices topk(const Tensor& x, std::int64_t k, std::int64_t dim, bool largest,
                      bool sorted) {
  check(k >= 0, "topk: k is {}; it must not be negative", k);
  return first_in_order("topk", x, dim, k, {.descending = largest, .sorted = sorted});
}

ValuesAndIndices kthvalue(const Tensor& x, std::int64_t k, std::int64_t dim, bool keepdim) {
  check(k >= 1, "kthvalue: k is {}, but counts from 1", k);
  const auto [values, indices] = first_in_order("kthvalue", x, dim, k, {});
  if (x.dim() == 0) return {values, indices};
  const auto last = [&](const Tensor& sorted) {
    const Tensor kept = sorted.slice(dim, k - 1, k);
    return keepdim ? kept : kept.squeeze(dim);
  };
  return {last(values), last(indices)};
}

Unique unique(const Tensor& x) {
  const NoGradGuard no_grad;
  const TensorOptions counting{.dtype = i64, .device = x.device()};
  const Tensor flat = x.reshape({-1});
  if (flat.numel() == 0) return {flat, zeros(x.shape(), counting), zeros({0}, counting)};
  const auto [values, indices] = sort(flat);
  // Types that == does not have fit into some that it has.
  const bool is_real = x.is_floating_point();
  const Tensor comparable = is_real ? values.to(promote(x.dtype(), f32)) : values.to(i64);
  const std::int64_t length = values.size(0);
  const Tensor again = comparable.slice(0, 1, length) == comparable.slice(0, 0, length - 1);
  const Tensor number = cumsum(cat({zeros({1}, counting), 1 - again.to(i64)}), 0);
  const auto count = static_cast<std::int64_t>(number.select(0, -1).item()) + 1;
  const Tensor none = zeros({count}, {.dtype = x.dtype(), .device = x.device()});
  return {scatter(none, 0, number, values),
          scatter(zeros({length}, counting), 0, indices, number).reshape(x.shape()),
          scatter_add(zeros({count}, counting), 0, number, ones({length}, counting))};
}

}  // namespace minidl
