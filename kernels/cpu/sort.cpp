#include "minidl/kernels/sort.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <memory>
#include <type_traits>

#include "minidl/kernels/cpu/lines.h"

// Lines are sorted by unsigned keys in the order of the elements, with their positions behind: no
// two items are equal, so every algorithm gives the one stable order.

namespace minidl::kernels::cpu {
namespace {

template <class Bits, class T>
Bits float_key(T value) {
  constexpr Bits kSign = Bits{1} << (std::numeric_limits<Bits>::digits - 1);
  if (value != value) return std::numeric_limits<Bits>::max();
  const auto bits = std::bit_cast<Bits>(value + T{0});  // -0 becomes 0
  return (bits & kSign) != 0 ? ~bits : bits | kSign;
}

/// u64 for elements of 8 bytes, u32 for all others.
template <class T>
auto key_of(T value) {
  if constexpr (std::is_same_v<T, double>) {
    return float_key<std::uint64_t>(value);
  } else if constexpr (std::is_class_v<T> || std::is_same_v<T, float>) {
    return float_key<std::uint32_t>(static_cast<float>(value));
  } else if constexpr (sizeof(T) == 8) {
    return static_cast<std::uint64_t>(value) ^ std::uint64_t{1} << 63;
  } else {
    return static_cast<std::uint32_t>(static_cast<std::int32_t>(value)) ^ std::uint32_t{1} << 31;
  }
}

/// A short key and a position below 2^32 in one number.
struct Packed {
  std::uint64_t bits;

  Packed(std::uint32_t key, std::int64_t position)
      : bits(std::uint64_t{key} << 32 | static_cast<std::uint64_t>(position)) {}
  std::int64_t position() const { return static_cast<std::int64_t>(bits & 0xffffffffu); }
  friend bool operator<(const Packed& a, const Packed& b) { return a.bits < b.bits; }
};

struct Wide {
  std::uint64_t key;
  std::int64_t at;

  Wide(std::uint64_t k, std::int64_t position) : key(k), at(position) {}
  std::int64_t position() const { return at; }
  friend bool operator<(const Wide& a, const Wide& b) {
    return a.key < b.key || (a.key == b.key && a.at < b.at);
  }
};

template <class T, class Item>
void sort_lines(ExecContext& ctx, const SortParams& params, const View& x, int dim,
                const View& values, const View& indices) {
  const std::int64_t length = x.size(dim);
  const std::int64_t wanted = indices.size(dim);
  const Strides& value_strides = values.defined ? values.strides : indices.strides;
  const std::int64_t x_along = x.strides[dim];
  const std::int64_t value_along = value_strides[dim];
  const std::int64_t index_along = indices.strides[dim];
  const LoopNest<3> lines =
      line_starts<3>(indices.shape, dim, {indices.strides, value_strides, x.strides});

  const auto sort_line = [&](Item* items, const T* from, T* sorted, std::int64_t* positions) {
    for (std::int64_t i = 0; i < length; ++i) {
      const auto key = key_of(from[i * x_along]);
      std::construct_at(items + i, params.descending ? ~key : key, i);
    }
    if (wanted < length) std::nth_element(items, items + wanted, items + length);
    if (params.sorted) std::sort(items, items + wanted);
    for (std::int64_t i = 0; i < wanted; ++i) {
      const std::int64_t position = items[i].position();
      positions[i * index_along] = position;
      if (sorted != nullptr) sorted[i * value_along] = from[position * x_along];
    }
  };
  for_each_row(lines, lines_of(kGrainExp, x.shape, dim), [&](const auto& at, std::int64_t count) {
    const Buffer items = ctx.workspace(static_cast<std::size_t>(length) * sizeof(Item));
    for (std::int64_t line = 0; line < count; ++line) {
      sort_line(items.as<Item>(), x.ptr<T>() + at[2] + line * lines.inner_stride(2),
                values.defined ? values.ptr<T>() + at[1] + line * lines.inner_stride(1) : nullptr,
                indices.ptr<std::int64_t>() + at[0] + line * lines.inner_stride(0));
    }
  });
}

}  // namespace

void sort(ExecContext& ctx, const SortParams& params, const View& x, int dim, const View& values,
          const View& indices) {
  if (indices.numel() == 0) return;
  visit_dtype(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (sizeof(T) < 8) {
      if (x.size(dim) <= std::numeric_limits<std::uint32_t>::max()) {
        return sort_lines<T, Packed>(ctx, params, x, dim, values, indices);
      }
    }
    sort_lines<T, Wide>(ctx, params, x, dim, values, indices);
  });
}

}  // namespace minidl::kernels::cpu
