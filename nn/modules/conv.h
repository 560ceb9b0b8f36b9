#pragma once

#include <array>

#include "minidl/core/ops/conv.h"
#include "minidl/nn/module.h"

namespace minidl::nn {

/// A number for both directions, or {height, width}.
struct Size2d {
  std::int64_t height = 0;
  std::int64_t width = 0;

  constexpr Size2d() = default;
  constexpr Size2d(std::int64_t both) : height(both), width(both) {}  // NOLINT: meant to convert
  constexpr Size2d(std::int64_t h, std::int64_t w) : height(h), width(w) {}
  constexpr operator std::array<std::int64_t, 2>() const { return {height, width}; }  // NOLINT
};

struct Conv2dOptions {
  std::int64_t in = 0;   ///< channels
  std::int64_t out = 0;  ///< channels
  Size2d kernel = 0;
  Size2d stride = 1;
  Size2d padding = 0;
  Size2d dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
};

/// minidl::conv2d with parameters weight [out, in / groups, R, S] (OHWI in memory) and bias [out],
/// both uniform within ±1 / sqrt(fan_in), as in PyTorch.
class Conv2d : public Module<Conv2d> {
 public:
  explicit Conv2d(const Conv2dOptions& options);
  Conv2d(ModuleBase& parent, std::string_view name, const Conv2dOptions& options);

  Tensor forward(const Tensor& x);

  Tensor weight;
  Tensor bias;  ///< undefined without one

 private:
  Conv2dParams params_;
};

}  // namespace minidl::nn
