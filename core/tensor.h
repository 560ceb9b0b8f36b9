// The tensor: a strided view on shared storage that knows how it was computed.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "minidl/core/default_device.h"
#include "minidl/core/hooks.h"
#include "minidl/core/index.h"
#include "minidl/core/storage.h"
#include "minidl/kernels/common/stream.h"
#include "minidl/kernels/common/view.h"

namespace minidl {

struct MaxResult;
using Tensors = std::vector<Tensor>;

namespace autograd {
class Node;
struct TensorImpl;
}  // namespace autograd

/// Element type and device of a new tensor.
struct TensorOptions {
  DType dtype = f32;
  Device device = default_device();
  bool requires_grad = false;
};

/// A handle on an n-dimensional array, copied by reference like PyTorch's. A default Tensor is
/// undefined: it stands for "none" where an operand is optional. Methods that compute are const and
/// return new tensors; those whose name ends in an underscore change the elements in place.
class Tensor {
 public:
  Tensor() = default;

  bool defined() const { return impl_ != nullptr; }

  // Geometry
  const Shape& shape() const;
  const Strides& strides() const;  ///< in elements
  int dim() const { return shape().size(); }
  std::int64_t size(std::int64_t dim) const;  ///< dim may count from the end
  std::int64_t numel() const { return minidl::numel(shape()); }
  DType dtype() const;
  Device device() const;
  bool is_floating_point() const { return minidl::is_floating_point(dtype()); }
  bool is_contiguous() const { return minidl::is_contiguous(shape(), strides()); }
  bool is_channels_last() const { return minidl::is_channels_last(shape(), strides()); }

  // Memory
  /// The first element; throws Error unless T is the tensor's type. On a GPU this is an address
  /// there, for kernels: the host cannot read it. Use item, to_vector or to(cpu) for that.
  template <class T>
  T* data() const {
    require_dtype(dtype_of_v<T>);
    return static_cast<T*>(raw_data());
  }
  void* raw_data() const;
  const Storage& storage() const;
  /// Whether this is a shape without elements, made by `fake` or computed from one.
  bool is_fake() const { return storage().is_fake(); }
  std::int64_t storage_offset() const;  ///< in elements
  kernels::View view() const;           ///< what kernels take; valid until the storage is released
  /// The one element, converted to T, the type of any dtype; waits for the device. Throws Error
  /// unless numel() is 1.
  template <class T = double>
  T item() const {
    require_one_element();
    T value{};
    copy_to_host(&value, dtype_of_v<T>);
    return value;
  }
  /// All elements in row-major order, converted to T, the type of any dtype.
  template <class T = double>
  std::vector<T> to_vector() const {
    const std::unique_ptr<T[]> values(new T[static_cast<std::size_t>(numel())]);
    copy_to_host(values.get(), dtype_of_v<T>);
    return std::vector<T>(values.get(), values.get() + numel());
  }
  /// Counts the bytes of this tensor's storage under `tag`.
  const Tensor& set_memory_tag(MemoryTag tag) const;
  /// Says that what is queued on `stream` so far uses this tensor's storage, so that the bytes are
  /// not given to anybody else before it is done. Not needed on the stream that was current when
  /// the tensor was made. Unlike PyTorch's, it wants to be called after the work was queued.
  const Tensor& record_stream(const Stream& stream) const;

  // Autograd
  bool requires_grad() const;  ///< a leaf that wants a gradient, or computed from one
  /// Leaves of floating-point type only; throws Error otherwise.
  const Tensor& set_requires_grad(bool value = true) const;
  bool is_leaf() const;
  /// The accumulated gradient; undefined before the first backward and after zero_grad.
  Tensor grad() const;
  /// Replaces the gradient; an undefined tensor drops it together with its memory. The gradient
  /// must have this tensor's shape, dtype and device.
  void set_grad(const Tensor& grad) const;
  /// Hands autograd the memory that gradients go to: the next backward writes there (DDP's
  /// buckets).
  void set_grad_storage(const Tensor& grad) const;
  /// Marks the gradient as absent and keeps its memory for the next backward.
  void zero_grad() const;
  /// Accumulates d(this) / d(leaf) into every leaf's grad(). `gradient` may be left out for a
  /// one-element tensor. The graph is freed unless `retain_graph`.
  void backward(const Tensor& gradient = {}, bool retain_graph = false) const;
  /// The same elements, cut off from the graph.
  Tensor detach() const;
  /// Calls `hook` with the gradient of this tensor when it is known; what it returns (if defined)
  /// replaces the gradient. Other tensors may share it: do not change it in place.
  HookHandle register_hook(std::function<Tensor(const Tensor&)> hook) const;
  /// Leaves only: calls `hook` after each accumulation into grad().
  HookHandle register_post_accumulate_grad_hook(std::function<void(const Tensor&)> hook) const;
  const std::shared_ptr<autograd::Node>& grad_fn() const;

  // Conversion (core/ops/copy.h)
  Tensor to(DType dtype) const;
  Tensor to(const Device& device) const;
  Tensor to(const Device& device, DType dtype) const;
  Tensor contiguous() const;     ///< row-major; itself if it already is
  Tensor channels_last() const;  ///< 4-D only: NHWC in memory; itself if it already is
  Tensor clone() const;          ///< a copy in the same layout

  // Indexing (core/ops/index.cpp). Entries name the dimensions from the first on: integers, Slice,
  // None, ellipsis, masks and tensors of positions (core/index.h). Without tensors among them the
  // result is a view; with them it is a copy, whose shape is PyTorch's: the broadcast shape of all
  // index tensors stands where they do, or in front if there is a slice between them. Throws Error
  // naming dimension, extent and position where one is out of range.
  Tensor operator[](const Index& index) const;
  Tensor operator[](std::initializer_list<Index> indices) const;  ///< x[{0, Slice{1, 3}, mask}]
  Tensor index(const std::vector<Index>& indices) const;
  /// The elements where `mask` (bool, broadcast against this tensor) is true: 1-D.
  Tensor masked_select(const Tensor& mask) const;
  /// The positions of the elements that are not 0, in row-major order: i64 [count, dim()]. Waits
  /// for the device.
  Tensor nonzero() const;
  /// Writes `value`, converted and stretched, to what index(indices) reads; with `accumulate` it is
  /// added. Where a position comes twice, the last one stays, or all are added in order. In place.
  const Tensor& index_put_(const std::vector<Index>& indices, const Tensor& value,
                           bool accumulate = false) const;
  const Tensor& index_put_(const std::vector<Index>& indices, double value,
                           bool accumulate = false) const;

  // Shape (core/ops/shape.h)
  Tensor reshape(const Shape& shape) const;  ///< one extent may be -1
  Tensor reshape_as(const Tensor& other) const;
  Tensor flatten(std::int64_t start_dim = 0, std::int64_t end_dim = -1) const;
  /// Cuts dimension `dim` into `sizes`, of which one may be -1.
  Tensor unflatten(std::int64_t dim, const Shape& sizes) const;
  Tensor permute(const Dims& dims) const;
  Tensor movedim(const Dims& source, const Dims& destination) const;
  Tensor movedim(std::int64_t source, std::int64_t destination) const;
  Tensor transpose(std::int64_t dim0, std::int64_t dim1) const;
  Tensor swapaxes(std::int64_t axis0, std::int64_t axis1) const;  ///< NumPy's name for transpose
  Tensor swapdims(std::int64_t dim0, std::int64_t dim1) const;    ///< the same
  Tensor t() const;                                               ///< transposes a matrix
  Tensor expand(const Shape& shape) const;                        ///< -1 leaves an extent as it is
  Tensor expand_as(const Tensor& other) const;
  Tensor broadcast_to(const Shape& shape) const;
  Tensor squeeze() const;  ///< without the dimensions of extent 1
  Tensor squeeze(std::int64_t dim) const;
  Tensor unsqueeze(std::int64_t dim) const;
  Tensor slice(std::int64_t dim, std::int64_t start, std::int64_t end, std::int64_t step = 1) const;
  Tensor narrow(std::int64_t dim, std::int64_t start, std::int64_t length) const;
  Tensor select(std::int64_t dim, std::int64_t index) const;
  /// The elements [..., i, i + offset, ...] of two dimensions, which become the last one.
  Tensor diagonal(std::int64_t offset = 0, std::int64_t dim1 = 0, std::int64_t dim2 = 1) const;
  /// Views of `sizes` elements each along `dim`, or of `size` each, the last one perhaps shorter.
  Tensors split(const std::vector<std::int64_t>& sizes, std::int64_t dim = 0) const;
  template <std::integral I>
  Tensors split(I size, std::int64_t dim = 0) const {
    return split_evenly(static_cast<std::int64_t>(size), dim);
  }
  Tensors chunk(std::int64_t chunks, std::int64_t dim = 0) const;  ///< at most that many views
  Tensors unbind(std::int64_t dim = 0) const;
  /// Copies side by side: repeats[i] along dimension i. `repeat` wants one for each dimension, and
  /// may have more in front; `tile` fills up with 1 in front.
  Tensor repeat(const Dims& repeats) const;
  Tensor tile(const Dims& repeats) const;
  /// Every element `repeats` times in a row, along `dim` or of the flattened tensor.
  Tensor repeat_interleave(std::int64_t repeats, std::optional<std::int64_t> dim = {}) const;
  Tensor flip(const Dims& dims) const;
  template <std::integral I>
  Tensor flip(I dim) const {
    return flip(Dims{static_cast<std::int64_t>(dim)});
  }
  /// Moves elements by `shifts` along `dims`; what falls off one end comes back at the other. No
  /// dims: of the flattened tensor.
  Tensor roll(const Dims& shifts, const Dims& dims = {}) const;
  template <std::integral I>
  Tensor roll(I shift, std::optional<std::int64_t> dim = {}) const {
    return roll(Dims{static_cast<std::int64_t>(shift)}, dim ? Dims{*dim} : Dims());
  }
  /// The matrices [..., R, C] with zeros above (tril) or below (triu) their diagonal number
  /// `diagonal`, counted to the right.
  Tensor tril(std::int64_t diagonal = 0) const;
  Tensor triu(std::int64_t diagonal = 0) const;

  // Arithmetic (core/ops/elementwise.h, softmax.h, matmul.h, comparison.h, scan.h, reduce.h)
  Tensor add(const Tensor& other, double alpha = 1) const;
  Tensor add(double value) const;
  Tensor sub(const Tensor& other, double alpha = 1) const;
  Tensor sub(double value) const;
  Tensor mul(const Tensor& other) const;
  Tensor mul(double factor) const;
  Tensor div(const Tensor& other) const;
  Tensor div(double divisor) const;
  Tensor neg() const;
  Tensor abs() const;
  Tensor exp() const;
  Tensor log() const;
  Tensor sqrt() const;
  Tensor pow(double exponent) const;
  Tensor relu() const;
  Tensor sigmoid() const;
  Tensor tanh() const;
  Tensor softmax(std::int64_t dim) const;
  Tensor log_softmax(std::int64_t dim) const;
  Tensor matmul(const Tensor& other) const;
  Tensor square() const;
  Tensor clamp(std::optional<double> min, std::optional<double> max = {}) const;
  Tensor masked_fill(const Tensor& mask, double value) const;
  Tensor cumsum(std::int64_t dim) const;
  Tensor cumprod(std::int64_t dim) const;
  Tensor prod(std::optional<std::int64_t> dim = {}, bool keepdim = false) const;

  // Reductions (core/ops/reduce.cpp, statistics.cpp); no dims means all of them
  Tensor sum(const Dims& dims = {}, bool keepdim = false) const;
  Tensor mean(const Dims& dims = {}, bool keepdim = false) const;
  Tensor amax(const Dims& dims = {}, bool keepdim = false) const;
  Tensor amin(const Dims& dims = {}, bool keepdim = false) const;
  Tensor max() const;
  Tensor min() const;
  /// The extrema along `dim` and where they first are. Equal ones share the gradient.
  MaxResult max(std::int64_t dim, bool keepdim = false) const;
  MaxResult min(std::int64_t dim, bool keepdim = false) const;
  /// i64; of the flattened tensor if no dim is given. NaN counts as the extremum.
  Tensor argmax(std::optional<std::int64_t> dim = {}, bool keepdim = false) const;
  Tensor argmin(std::optional<std::int64_t> dim = {}, bool keepdim = false) const;
  /// Variance and standard deviation, of f32 and f64. `unbiased` divides by one less than the
  /// number of elements (Bessel's correction), so that one element has the variance NaN.
  Tensor var(const Dims& dims = {}, bool unbiased = true, bool keepdim = false) const;
  Tensor std(const Dims& dims = {}, bool unbiased = true, bool keepdim = false) const;
  /// (sum |x|^p)^(1/p); the largest |x| where p is INFINITY, the smallest where it is -INFINITY.
  Tensor norm(double p = 2, const Dims& dims = {}, bool keepdim = false) const;

  // In place (core/ops/inplace.cpp); throw Error where autograd would lose track
  const Tensor& zero_() const;
  const Tensor& fill_(double value) const;
  const Tensor& copy_(const Tensor& source) const;  ///< from any dtype and device
  const Tensor& add_(const Tensor& other, double alpha = 1) const;
  const Tensor& add_(double value) const;
  const Tensor& sub_(const Tensor& other, double alpha = 1) const;
  const Tensor& sub_(double value) const;
  const Tensor& mul_(const Tensor& other) const;
  const Tensor& mul_(double factor) const;
  const Tensor& div_(const Tensor& other) const;
  const Tensor& div_(double divisor) const;
  const Tensor& clamp_(std::optional<double> min, std::optional<double> max = {}) const;
  /// Where the mask (bool, broadcast against this tensor) is true.
  const Tensor& masked_fill_(const Tensor& mask, double value) const;
  const Tensor& uniform_(double low = 0, double high = 1) const;
  const Tensor& normal_(double mean = 0, double deviation = 1) const;

  /// Makes this handle's tensor (all copies of it) look at the storage, geometry and dtype of
  /// `other` from now on; grad() is dropped if it no longer fits. Leaves only: modules move and
  /// convert their parameters with it.
  void set_data(const Tensor& other) const;

  /// Whether both handles are the same tensor (not: have equal elements).
  bool is_same(const Tensor& other) const { return impl_ == other.impl_; }

  explicit Tensor(std::shared_ptr<autograd::TensorImpl> impl) : impl_(std::move(impl)) {}
  autograd::TensorImpl& impl() const;  ///< throws Error when undefined

 private:
  void require_dtype(DType wanted) const;
  void require_one_element() const;
  void copy_to_host(void* values, DType dtype) const;
  Tensors split_evenly(std::int64_t size, std::int64_t dim) const;

  std::shared_ptr<autograd::TensorImpl> impl_;
};

/// What max and min along a dimension give: values, and where they are (i64).
struct MaxResult {
  Tensor values;
  Tensor indices;
};

// Factories; more in core/factories.h

Tensor empty(const Shape& shape, const TensorOptions& options = {});
Tensor zeros(const Shape& shape, const TensorOptions& options = {});
Tensor ones(const Shape& shape, const TensorOptions& options = {});
Tensor full(const Shape& shape, double value, const TensorOptions& options = {});
Tensor arange(std::int64_t end, const TensorOptions& options = {.dtype = i64});
/// Uniform in [0, 1) and standard normal, from the default generator (core/random.h).
Tensor rand(const Shape& shape, const TensorOptions& options = {});
Tensor randn(const Shape& shape, const TensorOptions& options = {});
/// The values in row-major order, converted to options.dtype; throws Error unless there are
/// numel(shape) of them.
Tensor tensor(const std::vector<double>& values, const Shape& shape,
              const TensorOptions& options = {});
/// A scalar.
Tensor scalar(double value, const TensorOptions& options = {});
/// Uninitialised, with the given dense or padded strides.
Tensor empty_strided(const Shape& shape, const Strides& strides, const TensorOptions& options = {});
/// Shape, dtype, device and (dense) layout of `other`; fake if it is.
Tensor empty_like(const Tensor& other);
Tensor zeros_like(const Tensor& other);

/// A tensor without elements or memory. Operations on it, mixed with real tensors too, compute the
/// shape, dtype and layout of their results, which are fake as well, and nothing else: a model can
/// be tried on shapes alone. Whatever would read elements throws Error.
Tensor fake(const Shape& shape, const TensorOptions& options = {});
Tensor fake_strided(const Shape& shape, const Strides& strides, const TensorOptions& options = {});

/// What from_blob is told about memory. A pointer is the host's unless you say that it is not,
/// whatever default_device() is.
struct BlobOptions {
  std::optional<DType> dtype = {};  ///< left out: the type that the pointer points to; f32 for void
  Device device = cpu;
  bool requires_grad = false;
};

/// Wraps memory that you own: at least the span of shape and strides (contiguous where left empty)
/// must stay valid until `deleter` is called with the pointer. Pinned memory may be on its way to a
/// GPU a while after to(device) has returned: synchronize the stream before you change it.
Tensor from_blob(void* data, const Shape& shape, const BlobOptions& options = {},
                 const Strides& strides = {}, std::function<void(void*)> deleter = {});

/// The same for a pointer to numbers: `from_blob(values.data(), {n, 3})`. Throws Error if
/// options.dtype is another one, unless they are bytes, which may be anything.
template <class T>
requires(!std::is_const_v<T>) && requires {
  dtype_of<T>::value;
}
Tensor from_blob(T* data, const Shape& shape, BlobOptions options = {}, const Strides& strides = {},
                 std::function<void(void*)> deleter = {}) {
  if (!options.dtype) options.dtype = dtype_of_v<T>;
  if (sizeof(T) > 1 && *options.dtype != dtype_of_v<T>) {
    detail::wrong_dtype(dtype_of_v<T>, *options.dtype);
  }
  return from_blob(static_cast<void*>(data), shape, options, strides, std::move(deleter));
}

/// "f32[2, 3] on cpu", "fake f32[2, 3] on cpu"
std::string describe(const Tensor& tensor);

/// The elements in aligned columns as PyTorch writes them, and the description above in a line of
/// its own. Of more than 1000 elements the first and last three along each dimension are shown.
/// Waits for the device; fake and undefined tensors say what they are.
std::string to_string(const Tensor& tensor);
std::ostream& operator<<(std::ostream& out, const Tensor& tensor);

}  // namespace minidl
