// f16 and bf16 operands for kernels that compute in f32: copies in, one rounding out.
#pragma once

#include <array>
#include <span>
#include <tuple>
#include <type_traits>
#include <vector>

#include "minidl/kernels/common/exec_context.h"
#include "minidl/kernels/common/view.h"

namespace minidl::kernels {

/// What a kernel that takes f32 needs to know when it is called with 16-bit operands. By default it
/// takes them itself.
struct Widening {
  int results = 0;        ///< the kernel writes the last so many of its Views
  bool in_place = false;  ///< and reads them, too
  bool on_cpu = false;
  bool on_cuda = false;

  /// For a kernel whose CPU side takes 16-bit operands itself.
  constexpr Widening on_cuda_only() const {
    Widening how = *this;
    how.on_cpu = false;
    return how;
  }
};

/// The last `results` Views of the kernel are its results; 16-bit operands are widened everywhere.
constexpr Widening writes_last(int results) {
  return {.results = results, .in_place = false, .on_cpu = true, .on_cuda = true};
}

/// The same for a kernel that changes its last `results` Views.
constexpr Widening changes_last(int results) {
  return {.results = results, .in_place = true, .on_cpu = true, .on_cuda = true};
}

namespace widening {

constexpr bool holds_16_bit(const View& view) {
  return view.defined && is_16_bit(view.dtype);
}
template <class T>
constexpr bool holds_16_bit(const T& /*not an operand*/) {
  return false;
}

inline void list_view(std::vector<View*>& views, View& view) {
  views.push_back(&view);
}
template <class T>
void list_view(std::vector<View*>& /*views*/, T& /*not an operand*/) {}

}  // namespace widening

/// Whether an argument of a kernel is a View of f16 or bf16.
template <class... Args>
constexpr bool any_16_bit(const Args&... args) {
  return (widening::holds_16_bit(args) || ...);
}

/// Puts f32 copies, in workspace, in the place of 16-bit Views. A dimension that is stretched with
/// stride 0 stays so; other strides become dense in the same order.
class WidenedViews {
 public:
  WidenedViews(ExecContext& ctx, std::span<View* const> views, const Widening& how);

  /// Rounds the results into the Views that were given. Call it after the kernel.
  void round_results();

 private:
  struct Result {
    View given;
    View wide;
  };
  ExecContext& ctx_;
  std::vector<Buffer> memory_;
  std::vector<Result> results_;
};

/// kernel(ctx, args...) with f32 in the place of f16 and bf16.
template <class... Args, class... Given>
void call_widened(void (*kernel)(ExecContext&, Args...), const Widening& how, ExecContext& ctx,
                  const Given&... args) {
  std::tuple<std::decay_t<Args>...> copies(args...);
  std::apply(
      [&](auto&... copy) {
        std::vector<View*> views;
        (widening::list_view(views, copy), ...);
        WidenedViews widened(ctx, views, how);
        kernel(ctx, copy...);
        widened.round_results();
      },
      copies);
}

}  // namespace minidl::kernels
