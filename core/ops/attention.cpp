#include "minidl/core/ops/attention.h"

#include <cmath>

#include "minidl/core/ops/dropout.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/core/ops/softmax.h"
#include "minidl/kernels/common/check.h"

namespace minidl {
namespace {

constexpr const char* kName = "scaled_dot_product_attention";

// [queries, keys]: true where the key does not come after the query.
Tensor causal_mask(std::int64_t queries, std::int64_t keys, const Device& device) {
  const TensorOptions options{.dtype = i32, .device = device};
  const Tensor query = arange(queries, options).unsqueeze(1);
  return equal(maximum(query, arange(keys, options)), query).to(boolean);
}

Tensor both(const Tensor& a, const Tensor& b) {
  return (a.to(i32) * b.to(i32)).to(boolean);
}

// [..., queries, keys]: where a query may look; undefined means everywhere.
Tensor mask_of(const Tensor& scores, const AttentionOptions& options) {
  if (options.mask.defined()) {
    check(options.mask.dtype() == boolean,
          "{}: the mask must be bool (true lets a key take part), not {}; use .to(dl::boolean)",
          kName, options.mask.dtype());
  }
  if (!options.causal) return options.mask;
  const Tensor causal = causal_mask(scores.size(-2), scores.size(-1), scores.device());
  return options.mask.defined() ? both(options.mask, causal) : causal;
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
