// For functors of elements.cuh that read elsewhere than at their own element, through offsets that
// Numbers::offsets() gives them. Not part of the public interface.
#pragma once

#include <cstdint>

#include "minidl/kernels/cuda/elements.cuh"

namespace minidl::kernels::cuda {

template <int N>
using Offsets = Pack<std::int64_t, N>;

/// N neighbouring elements, in one access if `aligned`.
template <int N, class T>
__device__ Pack<T, N> load_pack(const T* from, bool aligned) {
  if (aligned) return *reinterpret_cast<const Pack<T, N>*>(from);
  Pack<T, N> values;
#pragma unroll
  for (int i = 0; i < N; ++i) values.at[i] = from[i];
  return values;
}

/// Whether the first element of `view` and steps along its dimensions begin..end-1 are aligned to
/// 16 bytes.
inline bool keeps_alignment(const View& view, int begin, int end) {
  constexpr std::size_t kBytes = 16;
  bool aligned = reinterpret_cast<std::uintptr_t>(view.data) % kBytes == 0;
  for (int dim = begin; dim < end; ++dim) {
    const auto step = static_cast<std::size_t>(view.strides[dim]) * size_of(view.dtype);
    aligned = aligned && (view.size(dim) == 1 || step % kBytes == 0);
  }
  return aligned;
}

/// for_each_pack with packs that lie along dimension `dim`, where the first operand and whatever f
/// reads at offsets are dense along it; else one element at a time.
template <int kVector, class F, class... Operands>
void for_each_pack_along(bool dense, int dim, const ExecContext& ctx, const char* name,
                         const Shape& shape, const F& f, const Operands&... operands) {
  if (dense && shape[dim] > 1) {
    for_each_pack<kVector>(ctx, name, shape, f, operands...);
  } else {
    for_each_pack<1>(ctx, name, shape, f, operands...);
  }
}

}  // namespace minidl::kernels::cuda
