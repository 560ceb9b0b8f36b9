// Scaled dot-product attention that never writes out the scores.
#pragma once

#include "minidl/kernels/common/entry.h"
#include "minidl/kernels/random.h"

namespace minidl::kernels {

/// What both directions of attention must agree on.
struct AttentionParams {
  double scale = 1;     ///< of the scores
  bool causal = false;  ///< query l looks at keys 0..l only
  double dropout = 0;   ///< probability of dropping a weight
  RandomKey key = {};   ///< of dropout: weight [b, l, s] draws as element [b, l, s] of `dropout`
};

/// out = dropout(softmax(scale q k^T)) v and log_sums = log(sum(exp(scale q k^T))), row by row: q
/// [..., L, E], k [..., S, E], v [..., S, Ev], out [..., L, Ev], log_sums [..., L], which is
/// contiguous. mask [..., L, S] (bool, true lets a key take part) or none. The leading dimensions
/// of q, k and v, and all of the mask's, broadcast; nothing is stretched in memory. A query that
/// may look at no key gets zeros, and 0 in log_sums. f32 and f64, any strides.
using AttentionForward = void(ExecContext&, const AttentionParams& params, const View& q,
                              const View& k, const View& v, const View& mask, const View& out,
                              const View& log_sums);

/// The gradients from that of the output, its values, and what forward had: dq, dk and dv are those
/// of q, k and v as they are once their leading dimensions are stretched to out's. Not written
/// where undefined.
using AttentionBackward = void(ExecContext&, const AttentionParams& params, const View& dout,
                               const View& q, const View& k, const View& v, const View& mask,
                               const View& out, const View& log_sums, const View& dq,
                               const View& dk, const View& dv);

namespace cpu {
AttentionForward attention_forward;
AttentionBackward attention_backward;
}  // namespace cpu

inline constexpr Entry<AttentionForward> attention_forward{
    cpu::attention_forward, only_on_cpu("scaled_dot_product_attention"), writes_last(2)};
inline constexpr Entry<AttentionBackward> attention_backward{
    cpu::attention_backward, only_on_cpu("scaled_dot_product_attention"), writes_last(3)};

}  // namespace minidl::kernels
