// What stands between the brackets of x[{…}].
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

namespace minidl {

class Tensor;

/// Python's start:stop:step. Ends left out reach as far as there are elements, negative positions
/// count from the end, positions beyond an end stop there. The step is positive. Slice{} is `:`.
struct Slice {
  std::optional<std::int64_t> start = {};
  std::optional<std::int64_t> stop = {};
  std::int64_t step = 1;
};

struct NewAxis {};
/// A new dimension of extent 1.
inline constexpr NewAxis None;

struct Ellipsis {};
/// As many Slice{} as there are dimensions that nothing else names.
inline constexpr Ellipsis ellipsis;

/// One entry of x[{…}].
class Index {
 public:
  enum class Kind { position, slice, axis, rest, tensor };

  /// The elements at `position` of a dimension, which goes away. May count from the end.
  template <std::integral I>
  Index(I position) : kind_(Kind::position), position_(static_cast<std::int64_t>(position)) {}
  Index(bool) = delete;
  Index(const Slice& slice) : kind_(Kind::slice), slice_(slice) {}
  Index(NewAxis) : kind_(Kind::axis) {}
  Index(Ellipsis) : kind_(Kind::rest) {}
  /// Positions (i64 or i32), or a mask (bool) of as many dimensions as it has.
  Index(const Tensor& tensor);

  Kind kind() const { return kind_; }
  std::int64_t position() const { return position_; }
  const Slice& slice() const { return slice_; }
  const Tensor& tensor() const { return *tensor_; }

 private:
  Kind kind_;
  std::int64_t position_ = 0;
  Slice slice_;
  std::shared_ptr<const Tensor> tensor_;
};

}  // namespace minidl
