#pragma once

#include <array>

#include "minidl/core/ops/conv.h"
#include "minidl/core/ops/conv_transpose.h"
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

struct Conv1dOptions {
  std::int64_t in = 0;   ///< channels
  std::int64_t out = 0;  ///< channels
  std::int64_t kernel = 0;
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  std::int64_t dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
};

/// minidl::conv1d with parameters weight [out, in / groups, R] and bias [out], as in Conv2d.
class Conv1d : public Module<Conv1d> {
 public:
  explicit Conv1d(const Conv1dOptions& options);
  Conv1d(ModuleBase& parent, std::string_view name, const Conv1dOptions& options);

  Tensor forward(const Tensor& x);

  Tensor weight;
  Tensor bias;  ///< undefined without one

 private:
  Conv1dParams params_;
};

struct ConvTranspose2dOptions {
  std::int64_t in = 0;   ///< channels
  std::int64_t out = 0;  ///< channels
  Size2d kernel = 0;
  Size2d stride = 1;
  Size2d padding = 0;
  Size2d output_padding = 0;
  Size2d dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
};

/// minidl::conv_transpose2d with parameters weight [in, out / groups, R, S] (OHWI in memory) and
/// bias [out], both uniform within ±1 / sqrt(out / groups * R * S), as in PyTorch.
class ConvTranspose2d : public Module<ConvTranspose2d> {
 public:
  explicit ConvTranspose2d(const ConvTranspose2dOptions& options);
  ConvTranspose2d(ModuleBase& parent, std::string_view name, const ConvTranspose2dOptions& options);

  Tensor forward(const Tensor& x);

  Tensor weight;
  Tensor bias;  ///< undefined without one

 private:
  ConvTranspose2dParams params_;
};

}  // namespace minidl::nn
