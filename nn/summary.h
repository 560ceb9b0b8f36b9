// What a model is made of.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "minidl/core/tensor.h"
#include "minidl/nn/module.h"

namespace minidl::nn {

/// One module of a model.
struct SummaryRow {
  std::string path;             ///< "layer1.0.conv1"; "" is the model itself
  std::string type;             ///< "Conv2d"
  std::vector<Shape> outputs;   ///< of its last call; empty if it was not called
  std::int64_t parameters = 0;  ///< of the module alone, without its children's
  std::int64_t calls = 0;
  double flops = 0;  ///< of all its calls, with its children's
};

struct Summary {
  std::vector<SummaryRow> rows;  ///< a parent before its children
  std::int64_t parameters = 0;
  std::int64_t trainable_parameters = 0;
  std::int64_t parameter_bytes = 0;  ///< with buffers
  double flops = 0;                  ///< of one forward

  /// A table, a line for each module, and the sums.
  std::string to_string() const;
};

/// Calls the model once on shapes alone (nothing is computed or allocated) with an input of that
/// shape, or with the given inputs, which should be fake. FLOPs are those of convolutions and
/// matrix products, a multiply-add counting as two, by the direct method; all else is left out.
/// Throws what the forward throws.
Summary summary(ModuleBase& model, const Shape& input, DType dtype = f32);

/// For models whose forward takes something else: `forward` calls it.
///
///     nn::summary(bert, [&] { bert(ids, mask); });
Summary summary(ModuleBase& model, const std::function<void()>& forward);

}  // namespace minidl::nn
