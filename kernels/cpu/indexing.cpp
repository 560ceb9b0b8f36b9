#include "minidl/kernels/indexing.h"

#include <algorithm>
#include <type_traits>

#include "minidl/kernels/arithmetic.h"
#include "minidl/kernels/common/error.h"
#include "minidl/kernels/common/indices.h"
#include "minidl/kernels/cpu/lines.h"

namespace minidl::kernels::cpu {
namespace {

/// Turns the indices along `dim` of a table into offsets, or throws.
class Offsets {
 public:
  Offsets(const char* op, const View& index, int dim, const View& table)
      : op_(op),
        index_(index),
        dim_(dim),
        table_(table.shape),
        extent_(table.size(dim)),
        step_(table.strides[dim]) {}

  std::int64_t operator()(std::int64_t index) const {
    if (index < 0 || index >= extent_) [[unlikely]] {
      refuse_first();
    }
    return index * step_;
  }

 private:
  // Threads come across different wrong indices: all report the first.
  [[noreturn]] void refuse_first() const {
    Shape shape;
    Strides strides;
    for (int dim = 0; dim < index_.ndim(); ++dim) {
      if (index_.strides[dim] == 0) continue;
      shape.push_back(index_.shape[dim]);
      strides.push_back(index_.strides[dim]);
    }
    const auto* elements = index_.ptr<std::int64_t>();
    for (std::int64_t position = 0;; ++position) {
      std::int64_t at = 0;
      std::int64_t rest = position;
      for (int dim = shape.size() - 1; dim >= 0; --dim) {
        at += rest % shape[dim] * strides[dim];
        rest /= shape[dim];
      }
      if (elements[at] >= 0 && elements[at] < extent_) continue;
      throw Error(explain_index(op_, position, shape, elements[at], dim_, table_));
    }
  }

  const char* op_;
  const View& index_;
  int dim_;
  const Shape& table_;
  std::int64_t extent_;
  std::int64_t step_;
};

template <class T>
void gather_as(const Offsets& offset_of, const View& x, int dim, const View& index,
               const View& out) {
  Strides other_strides = x.strides;
  other_strides[dim] = 0;
  const LoopNest<3> nest(out.shape, {out.strides, index.strides, other_strides});
  const std::int64_t out_step = nest.inner_stride(0);
  const std::int64_t index_step = nest.inner_stride(1);
  const std::int64_t x_step = nest.inner_stride(2);
  for_each_row(nest, kGrain, [&](const auto& at, std::int64_t count) {
    T* to = out.ptr<T>() + at[0];
    const auto* indices = index.ptr<std::int64_t>() + at[1];
    const T* from = x.ptr<T>() + at[2];
    if (index_step == 0) {
      from += offset_of(*indices);
      if (out_step == 1 && x_step == 1) {
        std::copy_n(from, count, to);
      } else {
        for (std::int64_t i = 0; i < count; ++i) to[i * out_step] = from[i * x_step];
      }
    } else {
      for (std::int64_t i = 0; i < count; ++i) {
        to[i * out_step] = from[i * x_step + offset_of(indices[i * index_step])];
      }
    }
  });
}

struct Assign {
  template <class T>
  T operator()(T /*old*/, T value) const {
    return value;
  }
};

// Each thread takes lines along `dim` of its own, so that no two write to one element, and follows
// the order along it.
template <class T, class Join>
void scatter_as(const Offsets& offset_of, int dim, const View& index, const View& src,
                const View& out, const Join& join) {
  const Shape& shape = index.shape;
  const LoopNest<3> nest = line_starts<3>(shape, dim, {out.strides, index.strides, src.strides});
  const std::int64_t length = shape[dim];
  const std::int64_t out_step = nest.inner_stride(0);
  const std::int64_t index_step = nest.inner_stride(1);
  const std::int64_t src_step = nest.inner_stride(2);
  const std::int64_t index_along = index.strides[dim];
  const std::int64_t src_along = src.strides[dim];
  const auto put = [&](T& element, T value) { element = join(element, value); };
  for_each_row(nest, lines_of(kGrain, shape, dim), [&](const auto& at, std::int64_t count) {
    T* to = out.ptr<T>() + at[0];
    const auto* indices = index.ptr<std::int64_t>() + at[1];
    const T* from = src.ptr<T>() + at[2];
    if (src_along < src_step || count == 1) {  // line by line
      for (std::int64_t line = 0; line < count; ++line) {
        for (std::int64_t i = 0; i < length; ++i) {
          put(to[line * out_step + offset_of(indices[line * index_step + i * index_along])],
              from[line * src_step + i * src_along]);
        }
      }
      return;
    }
    for (std::int64_t i = 0; i < length; ++i) {
      const std::int64_t* row = indices + i * index_along;
      const T* values = from + i * src_along;
      if (index_step != 0) {
        for (std::int64_t line = 0; line < count; ++line) {
          put(to[line * out_step + offset_of(row[line * index_step])], values[line * src_step]);
        }
        continue;
      }
      T* target = to + offset_of(*row);
      if (out_step == 1 && src_step == 1) {
        for (std::int64_t line = 0; line < count; ++line) put(target[line], values[line]);
      } else {
        for (std::int64_t line = 0; line < count; ++line) {
          put(target[line * out_step], values[line * src_step]);
        }
      }
    }
  });
}

}  // namespace

void gather(ExecContext&, const char* op, const View& x, int dim, const View& index,
            const View& out) {
  const Offsets offset_of(op, index, dim, x);
  visit_dtype(x.dtype,
              [&](auto zero) { gather_as<decltype(zero)>(offset_of, x, dim, index, out); });
}

void scatter(ExecContext&, const char* op, ScatterOp how, int dim, const View& index,
             const View& src, const View& out) {
  const Offsets offset_of(op, index, dim, out);
  visit_dtype(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    if (how == ScatterOp::assign) {
      scatter_as<T>(offset_of, dim, index, src, out, Assign());
    } else if constexpr (std::is_same_v<T, bool>) {
      detail::unsupported_dtype(op, out.dtype);
    } else {
      scatter_as<T>(offset_of, dim, index, src, out, arithmetic::Add());
    }
  });
}

}  // namespace minidl::kernels::cpu
