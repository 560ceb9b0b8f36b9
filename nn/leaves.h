// Finding the tensors inside whatever a module takes and returns.
#pragma once

#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "minidl/core/tensor.h"

namespace minidl::nn {

// `leaves(value, out)` appends the tensors in `value`, in a fixed order. It knows tensors, vectors,
// optionals, pairs, tuples and nests of these; anything else holds none. For a struct of your own,
// put `void leaves(const YourStruct&, minidl::Tensors&)` beside it.

inline void leaves(const Tensor& value, Tensors& out) {
  if (value.defined()) out.push_back(value);
}

namespace detail {

struct FindLeaves {
  Tensors& out;

  template <class T>
  void operator()(const std::vector<T>& values) const {
    for (const T& value : values) (*this)(value);
  }
  template <class T>
  void operator()(const std::optional<T>& value) const {
    if (value) (*this)(*value);
  }
  template <class A, class B>
  void operator()(const std::pair<A, B>& value) const {
    (*this)(value.first);
    (*this)(value.second);
  }
  template <class... T>
  void operator()(const std::tuple<T...>& value) const {
    std::apply([this](const T&... parts) { ((*this)(parts), ...); }, value);
  }
  template <class T>
  void operator()(const T& value) const {
    if constexpr (requires { leaves(value, out); }) leaves(value, out);
  }
};

}  // namespace detail

/// The defined tensors in `values`, flattened.
template <class... T>
Tensors leaves_of(const T&... values) {
  Tensors out;
  (detail::FindLeaves{out}(values), ...);
  return out;
}

}  // namespace minidl::nn
