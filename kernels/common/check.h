// Formatted checks for the library's own sources. Not part of the public interface: public headers
// do not include fmt.
#pragma once

#include <utility>

#ifdef __CUDACC__  // nvcc cannot run fmt's check of format strings; the C++ compiler has
#define FMT_CONSTEVAL
#define FMT_USE_CONSTEVAL 0
#define FMT_USE_CONSTEXPR 1
#endif
#include <fmt/format.h>

#include "minidl/kernels/common/dtype.h"
#include "minidl/kernels/common/error.h"
#include "minidl/kernels/common/shape.h"

template <>
struct fmt::formatter<minidl::Dims> : fmt::formatter<std::string> {
  template <class Context>
  auto format(const minidl::Dims& dims, Context& ctx) const {
    return fmt::formatter<std::string>::format(minidl::to_string(dims), ctx);
  }
};

template <>
struct fmt::formatter<minidl::DType> : fmt::formatter<std::string> {
  template <class Context>
  auto format(minidl::DType dtype, Context& ctx) const {
    return fmt::formatter<std::string>::format(minidl::name(dtype), ctx);
  }
};

namespace minidl {

template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

/// Throws Error with the formatted message unless `condition` holds. The arguments are evaluated
/// either way: keep them cheap.
template <class... Args>
void check(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) [[unlikely]] {
    fail(format, std::forward<Args>(args)...);
  }
}

}  // namespace minidl
