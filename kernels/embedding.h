// Rows of a table, looked up by index.
#pragma once

#include "minidl/kernels/common/entry.h"

namespace minidl::kernels {

// Shapes: indices [...] (i64 or i32), weight and dweight [V, D], out and dy [..., D]. f32 and f64,
// any strides. Both throw Error naming position and index where an index is outside 0..V-1.

/// out[...] = weight[indices[...]].
using EmbeddingForward = void(ExecContext&, const View& weight, const View& indices,
                              const View& out);

/// dweight[v] = sum of dy over the positions whose index is v, in an order that the indices alone
/// decide; zeros in row `padding_idx` (-1: there is none).
using EmbeddingBackward = void(ExecContext&, const View& dy, const View& indices,
                               std::int64_t padding_idx, const View& dweight);

namespace cpu {
EmbeddingForward embedding_forward;
EmbeddingBackward embedding_backward;
}  // namespace cpu

namespace cuda {
EmbeddingForward embedding_forward;
EmbeddingBackward embedding_backward;
}  // namespace cuda

inline constexpr Entry<EmbeddingForward> embedding_forward{
    cpu::embedding_forward, cuda::embedding_forward, writes_last(1).on_cuda_only()};
inline constexpr Entry<EmbeddingBackward> embedding_backward{
    cpu::embedding_backward, cuda::embedding_backward, writes_last(1)};

}  // namespace minidl::kernels
