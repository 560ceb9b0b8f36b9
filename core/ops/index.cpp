// x[{…}]: what the brackets select, and writing to it.

#include "minidl/core/index.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include "minidl/core/factories.h"
#include "minidl/core/grad_mode.h"
#include "minidl/core/op.h"
#include "minidl/core/ops/attributes.h"
#include "minidl/core/ops/inplace.h"
#include "minidl/core/ops/shape.h"
#include "minidl/core/ops/view_op.h"
#include "minidl/kernels/advanced_index.h"
#include "minidl/kernels/common/check.h"

namespace minidl {
namespace {

// What is picked from dimensions first, first + 1, ... (`indexed` of them) has this shape.
Shape picked_shape(const Shape& x, int first, int indexed, const Shape& positions) {
  Shape shape = x.slice(0, first);
  for (const std::int64_t extent : positions) shape.push_back(extent);
  for (int i = first + indexed; i < x.size(); ++i) shape.push_back(x[i]);
  return shape;
}

// Inputs: x, then a tensor of positions for each of its dimensions `first`, first + 1, ...; all of
// one shape.
class IndexGet final : public Op {
 public:
  IndexGet(int first, const Dims& names) : first_(first), names_(names) {}
  const char* name() const override { return "index"; }
  std::string attributes() const override { return Attributes().add("dims", names_).text(); }
  TensorSpecs infer(std::span<const TensorSpec> in) const override {
    const int indexed = static_cast<int>(in.size()) - 1;
    return {in[0].with_shape(picked_shape(in[0].shape, first_, indexed, in[1].shape))};
  }
  void compute(ExecContext& ctx, Views in, Views out) const override {
    kernels::index_get(ctx, in[0], {.first = first_, .positions = in.subspan(1), .names = names_},
                       out[0]);
  }
  Saves saves(const std::vector<bool>& needs_grad) const override {
    return {.inputs = ((1u << needs_grad.size()) - 1) & ~1u};
  }
  Tensors backward(const BackwardContext& ctx, const Tensors& grads) const override {
    const Tensor full = zero_gradient(ctx.input_spec(0));
    Tensors positions;
    std::vector<kernels::View> views;
    for (int i = 1; i < ctx.inputs(); ++i) {
      positions.push_back(ctx.input(i));
      views.push_back(positions.back().view());
    }
    ExecContext exec = context_for(full);
    kernels::index_add(exec, grads[0].view(),
                       {.first = first_, .positions = views, .names = names_}, full.view());
    Tensors result(static_cast<std::size_t>(ctx.inputs()));
    result[0] = full;
    return result;
  }

 private:
  int first_;
  Dims names_;
};

// Where the elements that are not 0 are: a column of positions for each dimension.
std::vector<std::vector<std::int64_t>> places_of_nonzero(const Tensor& x) {
  if (x.is_fake()) fail("nonzero: {} has no elements, so nobody knows how many", describe(x));
  const std::vector<bool> hits = x.to_vector<bool>();
  std::vector<std::vector<std::int64_t>> columns(static_cast<std::size_t>(x.dim()));
  Dims at = Dims::filled(x.dim(), 0);
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    if (hits[static_cast<std::size_t>(i)]) {
      for (int dim = 0; dim < x.dim(); ++dim) {
        columns[static_cast<std::size_t>(dim)].push_back(at[dim]);
      }
    }
    for (int dim = x.dim() - 1; dim >= 0 && ++at[dim] == x.size(dim); --dim) at[dim] = 0;
  }
  return columns;
}

/// What a list of indices means for a tensor: a view of it, of which some dimensions are then
/// picked from by tensors.
class Selection {
 public:
  Selection(const Tensor& x, std::span<const Index> indices) : x_(x), view_(x) {
    const int named = count_named(indices);
    for (const Index& index : indices) {
      switch (index.kind()) {
        case Index::Kind::position: select(index.position()); break;
        case Index::Kind::slice: slice(index.slice()); break;
        case Index::Kind::axis: view_ = view_.unsqueeze(at_++); break;
        case Index::Kind::rest:
          at_ += x.dim() - named;
          dim_ += x.dim() - named;
          break;
        case Index::Kind::tensor: pick(index.tensor()); break;
      }
    }
    if (!positions_.empty()) arrange();
  }

  /// Whether there are positions(); if not, view() is all.
  bool picks() const { return !positions_.empty(); }
  const Tensor& view() const { return view_; }
  /// Of the dimensions first(), first() + 1, ... of the view; of one shape.
  const Tensors& positions() const { return positions_; }
  int first() const { return static_cast<int>(picked_[0]); }
  /// Their numbers in x.
  const Dims& names() const { return names_; }

 private:
  // The number of dimensions that the indices name; checks that x has them.
  int count_named(std::span<const Index> indices) const {
    int named = 0;
    int ellipses = 0;
    for (const Index& index : indices) {
      const bool is_mask = index.kind() == Index::Kind::tensor && index.tensor().dtype() == boolean;
      if (is_mask) named += index.tensor().dim();
      const bool is_one = index.kind() == Index::Kind::position ||
                          index.kind() == Index::Kind::slice || index.kind() == Index::Kind::tensor;
      if (is_one && !is_mask) ++named;
      if (index.kind() == Index::Kind::rest) ++ellipses;
    }
    check(ellipses <= 1, "index: there are {} ellipses, but one at most can be filled up",
          ellipses);
    check(named <= x_.dim(), "index: {} dimensions are indexed, but shape {} has {}", named,
          x_.shape(), x_.dim());
    return named;
  }

  void select(std::int64_t position) {
    const std::int64_t extent = x_.size(dim_);
    check(position >= -extent && position < extent,
          "index: {} is out of range for dimension {} of extent {} (shape {})", position, dim_,
          extent, x_.shape());
    view_ = view_.select(at_, position);
    ++dim_;
  }

  void slice(const Slice& slice) {
    check(slice.step > 0,
          "index: the step of a slice must be positive, not {}; flip turns a dimension round",
          slice.step);
    const std::int64_t start = slice.start.value_or(0);
    const std::int64_t stop = slice.stop.value_or(std::numeric_limits<std::int64_t>::max());
    if (start != 0 || stop < x_.size(dim_) || slice.step != 1) {
      view_ = view_.slice(at_, start, stop, slice.step);
    }
    ++dim_;
    ++at_;
  }

  void pick(const Tensor& tensor) {
    if (tensor.dtype() != boolean) {
      check(tensor.dtype() == i64 || tensor.dtype() == i32,
            "index: positions are i64 or i32 and masks bool, not {}; use .to(dl::i64)",
            tensor.dtype());
      add_positions(tensor.to(x_.device(), i64));
      return;
    }
    check(tensor.dim() > 0, "index: a mask needs a dimension, but its shape is []");
    for (int i = 0; i < tensor.dim(); ++i) {
      check(tensor.size(i) == x_.size(dim_ + i),
            "index: the mask of shape {} does not fit dimension {} of shape {}", tensor.shape(),
            dim_ + i, x_.shape());
    }
    for (const std::vector<std::int64_t>& column : places_of_nonzero(tensor)) {
      add_positions(minidl::tensor(column, {.device = x_.device()}));
    }
  }

  void add_positions(const Tensor& positions) {
    picked_.push_back(at_++);
    names_.push_back(dim_++);
    positions_.push_back(positions);
  }

  // Brings the picked dimensions together, in front where they are apart, and the positions to one
  // shape.
  void arrange() {
    positions_ = broadcast_positions();
    Dims order;
    bool apart = false;
    for (int i = 1; i < picked_.size(); ++i) apart = apart || picked_[i] != picked_[i - 1] + 1;
    if (!apart) return;
    for (const std::int64_t dim : picked_) order.push_back(dim);
    for (int dim = 0; dim < view_.dim(); ++dim) {
      if (std::find(picked_.begin(), picked_.end(), dim) == picked_.end()) order.push_back(dim);
    }
    view_ = view_.permute(order);
    picked_[0] = 0;
  }

  Tensors broadcast_positions() const {
    Shape shape;
    for (const Tensor& positions : positions_) {
      shape = broadcast_shapes("index", shape, positions.shape());
    }
    Tensors result;
    for (const Tensor& positions : positions_) result.push_back(positions.expand(shape));
    return result;
  }

  Tensor x_;
  Tensor view_;
  int dim_ = 0;  // the next dimension of x_
  int at_ = 0;   // and where it is in view_
  Dims picked_;
  Dims names_;
  Tensors positions_;
};

Tensor select_from(const Tensor& x, std::span<const Index> indices) {
  const Selection selection(x, indices);
  if (!selection.picks()) return selection.view();
  Tensors inputs{selection.view()};
  for (const Tensor& positions : selection.positions()) inputs.push_back(positions);
  return apply_op<IndexGet>(inputs, selection.first(), selection.names());
}

}  // namespace

Index::Index(const Tensor& tensor) : kind_(Kind::tensor) {
  check(tensor.defined(), "index: an undefined tensor stands among the indices");
  tensor_ = std::make_shared<const Tensor>(tensor);
}

Tensor Tensor::operator[](const Index& index) const {
  return select_from(*this, {&index, 1});
}

Tensor Tensor::operator[](std::initializer_list<Index> indices) const {
  return select_from(*this, {indices.begin(), indices.size()});
}

Tensor Tensor::index(const std::vector<Index>& indices) const {
  return select_from(*this, indices);
}

Tensor Tensor::masked_select(const Tensor& mask) const {
  check(mask.dtype() == boolean, "masked_select: a mask is bool, not {}", mask.dtype());
  const Shape shape = broadcast_shapes("masked_select", this->shape(), mask.shape());
  if (shape.empty()) return reshape({1})[mask.reshape({1})];
  return (shape == this->shape() ? *this : expand(shape))[mask.expand(shape)];
}

Tensor Tensor::nonzero() const {
  if (dim() == 0) return reshape({1}).nonzero().slice(1, 0, 0);
  const std::vector<std::vector<std::int64_t>> columns = places_of_nonzero(*this);
  Tensors places;
  for (const std::vector<std::int64_t>& column : columns) {
    places.push_back(tensor(column, {.device = cpu}));
  }
  return stack(places, 1).to(device());
}

const Tensor& Tensor::index_put_(const std::vector<Index>& indices, const Tensor& value,
                                 bool accumulate) const {
  const Selection selection(*this, indices);
  const Tensor& target = selection.view();
  if (!selection.picks()) {
    accumulate ? target.add_(value) : target.copy_(value);
    return *this;
  }
  require_same_device("index_put_", *this, value);
  const Tensors& positions = selection.positions();
  const Shape shape = picked_shape(target.shape(), selection.first(),
                                   static_cast<int>(positions.size()), positions[0].shape());
  if (!begin_change("index_put_", target, value, shape)) return *this;
  const NoGradGuard no_grad;
  const Tensor values = unaliased(value.to(dtype()), target).expand(shape);
  std::vector<kernels::View> views;
  for (const Tensor& tensor : positions) views.push_back(tensor.view());
  const kernels::IndexedDims dims{
      .first = selection.first(), .positions = views, .names = selection.names()};
  ExecContext ctx = context_for(target);
  (accumulate ? kernels::index_add : kernels::index_put)(ctx, values.view(), dims, target.view());
  return *this;
}

const Tensor& Tensor::index_put_(const std::vector<Index>& indices, double value,
                                 bool accumulate) const {
  return index_put_(indices, scalar(value, {.dtype = dtype(), .device = device()}), accumulate);
}

}  // namespace minidl
