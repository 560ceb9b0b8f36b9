// Kernels that compute every element from the elements at the same index of the other operands. Not
// part of the public interface.
//
// A thread takes a vector of neighbours along the innermost loop (16 bytes of the widest type, one
// load or store per operand) where the addresses allow it; an operand that is stretched along that
// loop is read once per vector. Everything else goes element by element: odd strides, misaligned
// addresses, rows that are no multiple of the vector. What is left over at the end of dense
// operands is done by the first threads.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "minidl/kernels/common/view.h"
#include "minidl/kernels/cuda/nest.cuh"

namespace minidl::kernels::cuda {

/// A few neighbouring elements in registers.
template <class T, int N>
struct alignas(std::min<std::size_t>(sizeof(T) * N, 16)) Pack {
  T at[N];
};

// The operands of for_each_element: Writes<float>{out}, Reads<float>{x}, …
template <class T>
struct Reads {
  using Type = T;
  static constexpr bool kReads = true, kWrites = false;
  const View& view;

  const Strides& strides() const { return view.strides; }
  const void* data() const { return view.ptr<T>(); }
};
template <class T>
struct Writes : Reads<T> {
  static constexpr bool kReads = false, kWrites = true;
};
template <class T>
struct Updates : Reads<T> {
  static constexpr bool kReads = true, kWrites = true;
};
/// The number of the element in logical row-major order. As the first operand it also decides that
/// the walk goes in this order.
struct Numbers {
  using Type = std::int64_t;
  static constexpr bool kReads = false, kWrites = false;
  Strides steps;

  explicit Numbers(const Shape& shape) : steps(contiguous_strides(shape)) {}
  /// Where the element lies in an operand with these strides, instead.
  static Numbers offsets(const Strides& strides) {
    Numbers numbers{Shape{}};
    numbers.steps = strides;
    return numbers;
  }
  const Strides& strides() const { return steps; }
  const void* data() const { return nullptr; }
};

/// out = f(x...), as a functor for for_each_element.
template <class F>
struct Assign {
  F f;

  template <int N, class T, class... X>
  __device__ void operator()(Pack<T, N>& out, const Pack<X, N>&... x) const {
#pragma unroll
    for (int i = 0; i < N; ++i) out.at[i] = f(x.at[i]...);
  }
};
template <class F>
Assign(F) -> Assign<F>;

/// f(operands...), which changes some of them.
template <class F>
struct Each {
  F f;

  template <int N, class... T>
  __device__ void operator()(Pack<T, N>&... operands) const {
#pragma unroll
    for (int i = 0; i < N; ++i) f(operands.at[i]...);
  }
};
template <class F>
Each(F) -> Each<F>;

namespace elements {

inline constexpr int kElementThreads = 256;

/// What a kernel walks. Where its vectors have more than one element, the nest counts vectors.
template <int N>
struct ElementWalk {
  DeviceNest<N, std::uint32_t> nest;
  std::uint32_t count;  ///< of vectors
  std::uint32_t rest;   ///< elements behind the last vector
  std::int64_t starts[N]{};
  void* data[N]{};
};

template <class Operand, int kVector>
class Slot {
 public:
  using T = typename Operand::Type;
  Pack<T, kVector> values;

  __device__ Slot(void* data, std::int64_t offset, bool stretched)
      : place_(static_cast<T*>(data) + offset) {
    if constexpr (std::is_same_v<Operand, Numbers>) {
#pragma unroll
      for (int i = 0; i < kVector; ++i) values.at[i] = offset + (stretched ? 0 : i);
    } else if constexpr (Operand::kReads) {
      if (stretched) {
        const T value = *place_;
#pragma unroll
        for (int i = 0; i < kVector; ++i) values.at[i] = value;
      } else {
        values = *reinterpret_cast<const Pack<T, kVector>*>(place_);
      }
    }
  }
  __device__ void store() const {
    if constexpr (Operand::kWrites) *reinterpret_cast<Pack<T, kVector>*>(place_) = values;
  }

 private:
  T* place_;
};

template <class F, class... Slots>
__device__ void compute(const F& f, Slots... slots) {
  f(slots.values...);
  (slots.store(), ...);
}

template <int kVector, class... Operands, class F, int N, std::size_t... n>
__device__ void compute_at(const F& f, const ElementWalk<N>& walk, const std::int64_t (&offsets)[N],
                           std::index_sequence<n...>) {
  compute(f, Slot<Operands, kVector>(walk.data[n], walk.starts[n] + offsets[n],
                                     kVector > 1 && walk.nest.strides[n][0] == 0)...);
}

template <int kVector, class F, class... Operands>
__global__ void __launch_bounds__(kElementThreads, 2)
    elements_kernel(const F f, const ElementWalk<sizeof...(Operands)> walk) {
  constexpr int N = sizeof...(Operands);
  constexpr std::index_sequence_for<Operands...> kOperands;
  std::int64_t offsets[N];
  const auto first = first_element<std::uint32_t>();
  for (std::uint32_t i = first; i < walk.count; i += element_step<std::uint32_t>()) {
    walk.nest.locate(i, offsets);
    compute_at<kVector, Operands...>(f, walk, offsets, kOperands);
  }
  if constexpr (kVector > 1) {
    if (first < walk.rest) {
      const std::int64_t element = std::int64_t{walk.count} * kVector + first;
#pragma unroll
      for (int n = 0; n < N; ++n) offsets[n] = walk.nest.strides[n][0] == 0 ? 0 : element;
      compute_at<1, Operands...>(f, walk, offsets, kOperands);
    }
  }
}

/// Whether an operand can be read or written kVector elements at a time.
template <int kVector, class Operand>
bool takes_vectors(const Operand& operand, const Strides& strides, std::int64_t start) {
  constexpr bool kNumbers = std::is_same_v<Operand, Numbers>;
  using T = typename Operand::Type;
  constexpr std::size_t kAlignment = kNumbers ? sizeof(T) * kVector : alignof(Pack<T, kVector>);
  if (strides.back() == 0 && !Operand::kWrites) return true;
  if (strides.back() != 1) return false;
  const auto aligned = [](std::int64_t elements) {
    return static_cast<std::size_t>(elements) * sizeof(T) % kAlignment == 0;
  };
  for (int loop = 0; loop < strides.size() - 1; ++loop) {
    if (!aligned(strides[loop])) return false;
  }
  return reinterpret_cast<std::uintptr_t>(operand.data()) % kAlignment == 0 && aligned(start);
}

template <int kVector, class F, class... Operands>
void launch_elements(const ExecContext& ctx, const char* name, NestPiece<sizeof...(Operands)> piece,
                     const F& f, const Operands&... operands) {
  constexpr std::size_t N = sizeof...(Operands);
  LoopNest<N>& nest = piece.nest;
  const auto rest = static_cast<std::uint32_t>(nest.inner_extent() % kVector);
  nest.extents.back() /= kVector;
  for (Strides& strides : nest.strides) strides.back() *= kVector;
  const std::int64_t count = minidl::numel(nest.extents);
  ElementWalk<N> walk{DeviceNest<N, std::uint32_t>(nest), static_cast<std::uint32_t>(count), rest};
  const std::array<const void*, N> data{operands.data()...};
  for (std::size_t n = 0; n < N; ++n) {
    walk.starts[n] = piece.starts[n];
    walk.data[n] = const_cast<void*>(data[n]);
  }
  const std::int64_t wanted = std::max<std::int64_t>(count, rest);
  const int threads =
      static_cast<int>(std::min<std::int64_t>(ceil_div(wanted, 32) * 32, kElementThreads));
  launch(linear_launch(ctx, name, ceil_div(wanted, threads), threads),
         elements_kernel<kVector, F, Operands...>, f, walk);
}

template <class Operand>
inline constexpr std::size_t kBytesInMemory = std::is_same_v<Operand, Numbers>
                                                  ? 1
                                                  : sizeof(typename Operand::Type);

}  // namespace elements

/// Calls f(Pack&...) with kVector or one element of every operand, until each element of `shape`
/// has had its turn. All operands have that shape, stretched where their stride is 0. The order is
/// that of the first operand's memory: make it an output.
template <int kVector, class F, class... Operands>
void for_each_pack(const ExecContext& ctx, const char* name, const Shape& shape, const F& f,
                   const Operands&... operands) {
  constexpr int N = sizeof...(Operands);
  if (minidl::numel(shape) == 0) return;
  const LoopNest<N> whole(shape, {operands.strides()...});
  for_each_piece(NestPiece<N>{whole}, [&](const NestPiece<N>& piece) {
    const LoopNest<N>& nest = piece.nest;
    bool vectors = nest.extents.size() == 1 || nest.inner_extent() % kVector == 0;
    std::size_t n = 0;
    const auto check = [&](const auto& operand) {
      vectors =
          vectors && elements::takes_vectors<kVector>(operand, nest.strides[n], piece.starts[n]);
      ++n;
    };
    (check(operands), ...);
    if (vectors) {
      elements::launch_elements<kVector>(ctx, name, piece, f, operands...);
    } else {
      elements::launch_elements<1>(ctx, name, piece, f, operands...);
    }
  });
}

/// for_each_pack with 16 bytes of the widest operand.
template <class F, class... Operands>
void for_each_element(const ExecContext& ctx, const char* name, const Shape& shape, const F& f,
                      const Operands&... operands) {
  constexpr std::size_t kWidest = std::max({elements::kBytesInMemory<Operands>...});
  for_each_pack<static_cast<int>(16 / kWidest)>(ctx, name, shape, f, operands...);
}

}  // namespace minidl::kernels::cuda
