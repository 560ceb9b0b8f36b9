#include "minidl/kernels/advanced_index.h"

#include <algorithm>

#include "minidl/kernels/arithmetic.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/copy.h"
#include "minidl/kernels/cpu/rows.h"

namespace minidl::kernels::cpu {
namespace {

[[noreturn]] void refuse(const IndexedDims& dims, int which, std::int64_t number,
                         std::int64_t position, std::int64_t extent) {
  const Shape& shape = dims.positions[0].shape;
  Dims at = shape;
  for (int dim = shape.size() - 1; dim >= 0; --dim) {
    at[dim] = number % shape[dim];
    number /= shape[dim];
  }
  fail("index: the position at {} is {}, which is out of range for dimension {} of extent {}", at,
       position, dims.names[which], extent);
}

/// Where each position lies in x, in row-major order of the positions.
class Offsets {
 public:
  Offsets(ExecContext& ctx, const View& x, const IndexedDims& dims)
      : shape_(dims.positions[0].shape), memory_(ctx.workspace(2 * bytes())) {
    std::int64_t* sums = memory_.as<std::int64_t>();
    std::int64_t* positions = sums + count();
    std::fill_n(sums, count(), 0);
    for (int i = 0; i < static_cast<int>(dims.positions.size()); ++i) {
      copy(ctx, dims.positions[static_cast<std::size_t>(i)], row_major(positions));
      const std::int64_t extent = x.size(dims.first + i);
      const std::int64_t stride = x.strides[dims.first + i];
      for (std::int64_t k = 0; k < count(); ++k) {
        const std::int64_t position = positions[k];
        if (position < -extent || position >= extent) refuse(dims, i, k, position, extent);
        sums[k] += (position < 0 ? position + extent : position) * stride;
      }
    }
  }

  std::int64_t count() const { return numel(shape_); }
  const std::int64_t* data() const { return memory_.as<std::int64_t>(); }

 private:
  std::size_t bytes() const { return static_cast<std::size_t>(count()) * sizeof(std::int64_t); }
  View row_major(std::int64_t* data) const {
    return {.data = data,
            .dtype = i64,
            .shape = shape_,
            .strides = contiguous_strides(shape_),
            .defined = true};
  }

  Shape shape_;
  Buffer memory_;
};

// x's strides for a walk over picked elements of `ndim` dimensions: 0 along the positions.
Strides strides_of_rest(const View& x, const IndexedDims& dims, int ndim) {
  const int indexed = static_cast<int>(dims.positions.size());
  const int positions = dims.positions[0].ndim();
  Strides strides = Dims::filled(ndim, 0);
  for (int i = 0; i < dims.first; ++i) strides[i] = x.strides[i];
  for (int i = dims.first + positions; i < ndim; ++i) {
    strides[i] = x.strides[i - positions + indexed];
  }
  return strides;
}

// The opposite: strides of the dimensions of the positions, 0 elsewhere.
Strides strides_of_positions(const IndexedDims& dims, int ndim) {
  const Strides own = contiguous_strides(dims.positions[0].shape);
  Strides strides = Dims::filled(ndim, 0);
  for (int i = 0; i < own.size(); ++i) strides[dims.first + i] = own[i];
  return strides;
}

// Calls place(to, value) for the values in row-major order of the positions. The threads share the
// dimensions that are not indexed: no two write to one element.
template <class T, class Place>
void place_elements(ExecContext& ctx, const View& values, const IndexedDims& dims, const View& x,
                    const Place& place) {
  const Offsets offsets(ctx, x, dims);
  const int last = dims.first + dims.positions[0].ndim();
  const Shape positions = values.shape.slice(dims.first, last);
  Shape rest = values.shape;
  Strides from_strides = values.strides;
  Strides to_strides = strides_of_rest(x, dims, values.ndim());
  for (int dim = last - 1; dim >= dims.first; --dim) {
    rest.erase(dim);
    from_strides.erase(dim);
    to_strides.erase(dim);
  }
  if (values.numel() == 0) return;
  const LoopNest<2> nest(rest, {to_strides, from_strides});
  const LoopNest<2> order(positions,
                          {contiguous_strides(positions), values.strides.slice(dims.first, last)});
  const std::int64_t to_step = nest.inner_stride(0);
  const std::int64_t from_step = nest.inner_stride(1);
  const auto place_row = [&](const auto& at, std::int64_t width) {
    walk_rows(order, 0, offsets.count(), [&](const auto& start, std::int64_t count) {
      for (std::int64_t k = 0; k < count; ++k) {
        T* to = x.ptr<T>() + at[0] + offsets.data()[start[0] + k * order.inner_stride(0)];
        const T* from = values.ptr<T>() + at[1] + start[1] + k * order.inner_stride(1);
        for (std::int64_t i = 0; i < width; ++i) place(to[i * to_step], from[i * from_step]);
      }
    });
  };
  for_each_row(nest, kGrain / offsets.count(), place_row);
}

}  // namespace

void index_get(ExecContext& ctx, const View& x, const IndexedDims& dims, const View& out) {
  const Offsets offsets(ctx, x, dims);
  const LoopNest<3> nest(out.shape, {out.strides, strides_of_rest(x, dims, out.ndim()),
                                     strides_of_positions(dims, out.ndim())});
  const std::int64_t to_step = nest.inner_stride(0);
  const std::int64_t from_step = nest.inner_stride(1);
  const std::int64_t position_step = nest.inner_stride(2);
  visit_dtype(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    for_each_row(nest, kGrain, [&](const auto& at, std::int64_t count) {
      T* to = out.ptr<T>() + at[0];
      const T* from = x.ptr<T>() + at[1];
      const std::int64_t* offset = offsets.data() + at[2];
      if (position_step == 0 && to_step == 1 && from_step == 1) {
        std::copy_n(from + *offset, count, to);
        return;
      }
      for (std::int64_t i = 0; i < count; ++i) {
        to[i * to_step] = from[i * from_step + offset[i * position_step]];
      }
    });
  });
}

void index_put(ExecContext& ctx, const View& values, const IndexedDims& dims, const View& x) {
  visit_dtype(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    place_elements<T>(ctx, values, dims, x, [](T& to, T value) { to = value; });
  });
}

void index_add(ExecContext& ctx, const View& values, const IndexedDims& dims, const View& x) {
  visit_arithmetic("index_put_", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    place_elements<T>(ctx, values, dims, x,
                      [](T& to, T value) { to = arithmetic::Add()(to, value); });
  });
}

}  // namespace minidl::kernels::cpu
