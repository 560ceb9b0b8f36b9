#include "minidl/core/ops/attention.h"

#include <cmath>

#include "minidl/core/op.h"
#include "minidl/core/ops/attributes.h"
#include "minidl/core/ops/dropout.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/gradients.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/core/ops/random_key.h"
#include "minidl/core/ops/softmax.h"
#include "minidl/kernels/attention.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/comparison.h"

namespace minidl {
namespace {

constexpr const char* kName = "scaled_dot_product_attention";

// From scores [..., L, S], whose elements it does not read: [L, S], true where key s does not come
// after query l. An operation, so that a captured graph makes it anew for other lengths.
class CausalMask final : public Op {
 public:
  const char* name() const override { return "causal_mask"; }
  bool differentiable() const override { return false; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    const Shape& scores = in[0].shape;
    const int dim = scores.size();
    return {in[0].with_dtype(boolean).with_shape({scores[dim - 2], scores[dim - 1]})};
  }
  void compute(ExecContext& ctx, Views /*in*/, Views out) const override {
    const TensorOptions options{.dtype = i32, .device = ctx.device};
    const Tensor query = arange(out[0].shape[0], options).unsqueeze(1);
    const Tensor key = arange(out[0].shape[1], options);
    kernels::compare(ctx, kernels::CompareOp::le, key.view().broadcast_to(out[0].shape),
                     query.view().broadcast_to(out[0].shape), out[0]);
  }
};

void check_mask_dtype(DType dtype) {
  check(dtype == boolean,
        "{}: the mask must be bool (true lets a key take part), not {}; use .to(dl::boolean)",
        kName, dtype);
}

void check_shapes(const Shape& q, const Shape& k, const Shape& v) {
  check(q.size() >= 2 && k.size() >= 2 && v.size() >= 2 && q.back() == k.back() &&
            k[k.size() - 2] == v[v.size() - 2],
        "{}: q must be [..., L, E], k [..., S, E] and v [..., S, Ev], not {}, {} and {}", kName, q,
        k, v);
}

double scale_of(const Tensor& q, const AttentionOptions& options) {
  return options.scale.value_or(1 / std::sqrt(static_cast<double>(q.size(-1))));
}

Shape with_last_two(Shape shape, std::int64_t rows, std::int64_t cols) {
  shape.push_back(rows);
  shape.push_back(cols);
  return shape;
}

// The leading dimensions of the output.
Shape leading_shape(std::span<const TensorSpec> in) {
  Shape lead;
  for (const TensorSpec& spec : in.first(3)) {
    lead = broadcast_shapes(kName, lead, spec.shape.slice(0, spec.dim() - 2));
  }
  return lead;
}

// q, k, v and a mask or none -> the output and the logarithms of the rows' sums, in f32 where the
// operands are narrower. Nothing of the size of the scores is kept or made.
class Attention final : public Op {
 public:
  explicit Attention(const kernels::AttentionParams& params) : params_(params) {}
  const char* name() const override { return kName; }
  std::string attributes() const override {
    return Attributes()
        .add("scale", params_.scale)
        .add("causal", params_.causal, false)
        .add("dropout", params_.dropout, 0.0)
        .text();
  }
  AutocastRule autocast() const override { return AutocastRule::low_precision; }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    const Shape& q = in[0].shape;
    const Shape& k = in[1].shape;
    const Shape& v = in[2].shape;
    check_shapes(q, k, v);
    check(in[1].dtype == in[0].dtype && in[2].dtype == in[0].dtype,
          "{}: q, k and v are {}, {} and {}; convert them with .to(dtype)", kName, in[0].dtype,
          in[1].dtype, in[2].dtype);
    const Shape lead = leading_shape(in);
    const std::int64_t queries = q[q.size() - 2];
    if (in[3].defined) {
      check_mask_dtype(in[3].dtype);
      const Shape scores = with_last_two(lead, queries, k[k.size() - 2]);
      check(broadcast_shapes(kName, in[3].shape, scores) == scores,
            "{}: a mask of shape {} does not broadcast to the scores {}", kName, in[3].shape,
            scores);
    }
    TensorSpec out = in[0].with_shape(with_last_two(lead, queries, v.back()));
    if (out.dim() == q.size() && is_dense(q, in[0].strides)) {
      out.strides = strides_like(out.shape, in[0].strides);
    }
    Shape rows = lead;
    rows.push_back(queries);
    TensorSpec log_sums = in[0].with_shape(rows).with_dtype(in[0].dtype == f64 ? f64 : f32);
    log_sums.differentiable = false;
    return {out, log_sums};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::attention_forward(ctx, params_, in[0], in[1], in[2], in[3], out[0], out[1]);
  }
  Saves saves(const std::vector<bool>& /*needs_grad*/) const override {
    return {.inputs = 15u, .outputs = 3u};
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const Tensor out = ctx.output(0);
    const Shape lead = out.shape().slice(0, out.dim() - 2);
    Tensors result(4);
    for (int i = 0; i < 3; ++i) {
      if (!ctx.needs_grad(i)) continue;
      const TensorSpec& spec = ctx.input_spec(i);
      const Shape shape = with_last_two(lead, spec.shape[spec.dim() - 2], spec.shape.back());
      const Strides strides =
          shape == spec.shape ? strides_like(shape, spec.strides) : contiguous_strides(shape);
      result[static_cast<std::size_t>(i)] =
          empty_strided(shape, strides, {.dtype = spec.dtype, .device = spec.device});
    }
    const Tensor mask = ctx.input_spec(3).defined ? ctx.input(3) : Tensor();
    ExecContext exec = context_for(out);
    kernels::attention_backward(exec, params_, grads[0].view(), ctx.input(0).view(),
                                ctx.input(1).view(), ctx.input(2).view(), view_or_none(mask),
                                out.view(), ctx.output(1).view(), view_or_none(result[0]),
                                view_or_none(result[1]), view_or_none(result[2]));
    for (int i = 0; i < 3; ++i) {
      Tensor& gradient = result[static_cast<std::size_t>(i)];
      if (gradient.defined()) gradient = sum_to(gradient, ctx.input_spec(i).shape);
    }
    return result;
  }

 private:
  kernels::AttentionParams params_;
};

// [..., queries, keys]: where a query may look; undefined means everywhere.
Tensor mask_of(const Tensor& scores, const AttentionOptions& options) {
  if (options.mask.defined()) check_mask_dtype(options.mask.dtype());
  if (!options.causal) return options.mask;
  const Tensor causal = apply_op<CausalMask>({scores});
  return options.mask.defined() ? options.mask & causal : causal;
}

// Where v has leading dimensions that the scores lack: every result drops weights of its own.
Tensor stretched_to(const Tensor& shares, const Tensor& v) {
  const Shape lead = broadcast_shapes(kName, shares.shape().slice(0, shares.dim() - 2),
                                      v.shape().slice(0, v.dim() - 2));
  return shares.expand(with_last_two(lead, shares.size(-2), shares.size(-1)));
}

}  // namespace

AttentionResult attention_with_weights(const Tensor& q, const Tensor& k, const Tensor& v,
                                       const AttentionOptions& options) {
  check_shapes(q.shape(), k.shape(), v.shape());
  const Tensor scores = matmul(q * scale_of(q, options), k.transpose(-2, -1));
  const Tensor mask = mask_of(scores, options);
  const Tensor shares = mask.defined() ? masked_softmax(scores, mask, -1) : softmax(scores, -1);
  const Tensor weights =
      dropout(options.dropout > 0 ? stretched_to(shares, v) : shares, options.dropout);
  return {.output = matmul(weights, v), .weights = weights};
}

Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                    const AttentionOptions& options) {
  if (q.device().is_cuda()) return attention_with_weights(q, k, v, options).output;
  check_shapes(q.shape(), k.shape(), v.shape());
  check(options.dropout >= 0 && options.dropout <= 1,
        "{}: the probability of dropout must be between 0 and 1, not {}", kName, options.dropout);
  const bool drops = options.dropout > 0;
  const kernels::AttentionParams params{
      .scale = scale_of(q, options),
      .causal = options.causal,
      .dropout = options.dropout,
      .key = drops ? next_key({q, k, v, options.mask}) : kernels::RandomKey()};
  return apply_op<Attention>({q, k, v, options.mask}, params);
}

}  // namespace minidl
