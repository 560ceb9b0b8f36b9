#include "minidl/core/ops/attention.h"

#include <cmath>

#include "minidl/core/op.h"
#include "minidl/core/ops/dropout.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/core/ops/softmax.h"
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

// [..., queries, keys]: where a query may look; undefined means everywhere.
Tensor mask_of(const Tensor& scores, const AttentionOptions& options) {
  if (options.mask.defined()) {
    check(options.mask.dtype() == boolean,
          "{}: the mask must be bool (true lets a key take part), not {}; use .to(dl::boolean)",
          kName, options.mask.dtype());
  }
  if (!options.causal) return options.mask;
  const Tensor causal = apply_op<CausalMask>({scores});
  return options.mask.defined() ? options.mask & causal : causal;
}

}  // namespace

AttentionResult attention_with_weights(const Tensor& q, const Tensor& k, const Tensor& v,
                                       const AttentionOptions& options) {
  check(q.dim() >= 2 && k.dim() >= 2 && v.dim() >= 2 && q.size(-1) == k.size(-1) &&
            k.size(-2) == v.size(-2),
        "{}: q must be [..., L, E], k [..., S, E] and v [..., S, Ev], not {}, {} and {}", kName,
        q.shape(), k.shape(), v.shape());
  const double scale = options.scale.value_or(1 / std::sqrt(static_cast<double>(q.size(-1))));
  const Tensor scores = matmul(q * scale, k.transpose(-2, -1));
  const Tensor mask = mask_of(scores, options);
  const Tensor shares = mask.defined() ? masked_softmax(scores, mask, -1) : softmax(scores, -1);
  const Tensor weights = dropout(shares, options.dropout);
  return {.output = matmul(weights, v), .weights = weights};
}

Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                    const AttentionOptions& options) {
  return attention_with_weights(q, k, v, options).output;
}

}  // namespace minidl
