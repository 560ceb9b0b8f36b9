// Shapes, strides and the index arithmetic every kernel and every op shares.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace minidl {

inline constexpr int kMaxDims = 8;

/// Up to kMaxDims signed 64-bit extents, stored inline. Serves as shape and as strides; strides are
/// in elements, not bytes, and never negative.
class Dims {
 public:
  Dims() = default;
  Dims(std::initializer_list<std::int64_t> values);
  explicit Dims(std::span<const std::int64_t> values);
  /// `count` extents, all equal to `value`.
  static Dims filled(int count, std::int64_t value);

  int size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::int64_t& operator[](int i) { return values_[static_cast<std::size_t>(i)]; }
  std::int64_t operator[](int i) const { return values_[static_cast<std::size_t>(i)]; }
  std::int64_t& back() { return (*this)[size_ - 1]; }
  std::int64_t back() const { return (*this)[size_ - 1]; }

  const std::int64_t* begin() const { return values_.data(); }
  const std::int64_t* end() const { return values_.data() + size_; }
  std::int64_t* begin() { return values_.data(); }
  std::int64_t* end() { return values_.data() + size_; }

  /// Throws Error beyond kMaxDims.
  void push_back(std::int64_t value);
  void insert(int position, std::int64_t value);
  void erase(int position);
  /// The extents number begin..end-1.
  Dims slice(int begin, int end) const;

  friend bool operator==(const Dims& a, const Dims& b) {
    if (a.size_ != b.size_) return false;
    for (int i = 0; i < a.size_; ++i) {
      if (a[i] != b[i]) return false;
    }
    return true;
  }

 private:
  std::array<std::int64_t, kMaxDims> values_{};
  int size_ = 0;
};

using Shape = Dims;
using Strides = Dims;

/// "[2, 3, 4]"
std::string to_string(const Dims& dims);

/// Product of the extents; 1 for a scalar's empty shape.
std::int64_t numel(const Shape& shape);

/// Row-major strides: the last dimension is dense.
Strides contiguous_strides(const Shape& shape);

/// "Channels last": strides of a 4-D NCHW shape stored as NHWC.
Strides channels_last_strides(const Shape& shape);

/// Dense strides for `shape` whose dimensions are nested as in `like` (a shape's strides of the
/// same rank). Dimensions of size 1 follow their logical position: they never decide a layout.
Strides strides_like(const Shape& shape, const Strides& like);
/// The same where the strides are those of another shape of that rank: its dimensions of size 1 do
/// not decide either.
Strides strides_like(const Shape& shape, const Shape& like_shape, const Strides& like);

/// Whether equal indices are at equal places: strides of size-1 dimensions do not matter, nor do
/// any where there are no elements.
bool same_layout(const Shape& shape, const Strides& a, const Strides& b);

/// Whether the elements are laid out row-major without gaps (size-1 dimensions do not matter).
bool is_contiguous(const Shape& shape, const Strides& strides);

/// Whether a 4-D tensor is stored as NHWC without gaps (size-1 dimensions do not matter).
bool is_channels_last(const Shape& shape, const Strides& strides);

/// Whether the elements fill a block of memory exactly once, in whatever dimension order.
bool is_dense(const Shape& shape, const Strides& strides);

/// NumPy's rule: aligned at the last dimension, 1 stretches. Throws Error naming `op` and both
/// shapes when they do not fit.
Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b);

/// Strides that walk a tensor of `shape`/`strides` as if it had the shape `target` (0 where it is
/// stretched). `shape` must broadcast to `target`.
Strides broadcast_strides(const Shape& shape, const Strides& strides, const Shape& target);

/// Maps -ndim..ndim-1 to 0..ndim-1; throws Error naming `op` otherwise.
int normalize_dim(const char* op, std::int64_t dim, int ndim);

}  // namespace minidl
