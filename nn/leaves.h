// Finding the tensors inside whatever a module takes and returns.
#pragma once

#include <functional>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "minidl/core/tensor.h"

namespace minidl::nn {

/// Is called with each defined tensor of a value, and may put another in its place.
using LeafVisitor = std::function<void(Tensor&)>;

// `visit_leaves(value, visit)` finds the tensors in `value`, in a fixed order. It knows tensors,
// vectors, optionals, pairs, tuples and nests of these; anything else holds none. For a struct of
// your own, put this beside it:
//
//     void visit_leaves(YourStruct& value, const minidl::nn::LeafVisitor& visit) {
//       minidl::nn::visit_all(visit, value.query, value.memory);
//     }

namespace detail {

template <class T>
concept UserHolder = requires(T& value, const LeafVisitor& visit) {
  visit_leaves(value, visit);
};

}  // namespace detail

/// Whether values of this type may hold tensors.
template <class T>
inline constexpr bool holds_leaves = std::is_same_v<T, Tensor> || detail::UserHolder<T>;
template <class T>
inline constexpr bool holds_leaves<std::vector<T>> = holds_leaves<T>;
template <class T>
inline constexpr bool holds_leaves<std::optional<T>> = holds_leaves<T>;
template <class A, class B>
inline constexpr bool holds_leaves<std::pair<A, B>> = holds_leaves<A> || holds_leaves<B>;
template <class... T>
inline constexpr bool holds_leaves<std::tuple<T...>> = (holds_leaves<T> || ...);

namespace detail {

struct VisitLeaves {
  const LeafVisitor& visit;

  void operator()(Tensor& value) const {
    if (value.defined()) visit(value);
  }
  template <class T>
  requires holds_leaves<T>
  void operator()(std::vector<T>& values) const {
    for (T& value : values) (*this)(value);
  }
  template <class T>
  void operator()(std::optional<T>& value) const {
    if (value) (*this)(*value);
  }
  template <class A, class B>
  void operator()(std::pair<A, B>& value) const {
    (*this)(value.first);
    (*this)(value.second);
  }
  template <class... T>
  void operator()(std::tuple<T...>& value) const {
    std::apply([this](T&... parts) { ((*this)(parts), ...); }, value);
  }
  template <class T>
  void operator()(T& value) const {
    if constexpr (UserHolder<T>) visit_leaves(value, visit);
  }
};

}  // namespace detail

/// Calls `visit` with the defined tensors in `values`, flattened.
template <class... T>
void visit_all(const LeafVisitor& visit, T&... values) {
  (detail::VisitLeaves{visit}(values), ...);
}

/// The defined tensors in `values`, flattened.
template <class... T>
Tensors leaves_of(const T&... values) {
  Tensors found;
  // Visitors are written for values that may change; this one only looks.
  visit_all([&found](Tensor& tensor) { found.push_back(tensor); }, const_cast<T&>(values)...);
  return found;
}

/// Puts `leaves`, as many as leaves_of finds and in its order, in place of the tensors in `values`.
template <class... T>
void replace_leaves(const Tensors& leaves, T&... values) {
  std::size_t next = 0;
  visit_all([&](Tensor& tensor) { tensor = leaves.at(next++); }, values...);
}

}  // namespace minidl::nn
