// What a module computes, as data: the operations of one forward and the tensors between them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "minidl/core/op.h"

namespace minidl {

/// A recorded computation, made by `trace` (nn/graph/trace.h). It says all that rewriting it,
/// planning its memory and running it again need, and knows no modules any more: the module's
/// parameters live on in it.
struct Graph {
  /// A position in `values`.
  using Id = std::size_t;
  static constexpr Id kNone = std::numeric_limits<Id>::max();

  enum class Kind { input, parameter, buffer, constant, result };

  struct Value {
    /// Unique: "input", the path of a parameter or buffer ("features.0.weight"), "constant_1", or
    /// for results the operation with a number ("conv2d_1", further results "max_pool2d_1.1").
    std::string name;
    Kind kind = Kind::result;
    /// Shape, strides, dtype and device. Of a result that is a view of its step's operand 0,
    /// `alias_offset` is set: it has no memory of its own.
    TensorSpec spec;
    /// The elements of a parameter, buffer or constant, shared with the module; undefined for
    /// inputs and results.
    Tensor tensor;
  };

  /// One operation. Its attributes are members of `op`.
  struct Step {
    std::shared_ptr<const Op> op;
    std::vector<Id> operands;  ///< kNone for an optional operand that was not given
    std::vector<Id> results;
    std::string module;  ///< whose forward it belongs to ("features.3"); empty for the outermost
  };

  std::vector<Value> values;  ///< parameters, buffers and constants only where a step reads them
  std::vector<Step> steps;    ///< in the order of the forward: operands before those who read them
  std::vector<Id> inputs;     ///< as many as the forward has tensors among its arguments
  std::vector<Id> outputs;    ///< the tensors that it returns

  /// Elements of all parameters that a step reads.
  std::int64_t parameter_count() const;
  /// Bytes of all results, were none of them ever freed. Views count nothing.
  std::int64_t result_bytes() const;

  /// A table with a line for each input, constant, step and output. Parameters and buffers of the
  /// step's own module appear as ".weight", operands not given as "-" (not at all at the end). A
  /// layout is named where it is not row-major. Further results of a step (where the maxima were,
  /// …) have a line of their own if something reads them.
  std::string to_string() const;
};

/// Runs the steps on `inputs`, which must have the shapes, dtypes, devices and strides of the
/// graph's; returns the outputs. With eval-mode modules that is bit for bit what the module itself
/// returns. Records no gradients. Every intermediate result lives until the end. Fake inputs give
/// fake outputs.
Tensors replay(const Graph& graph, const Tensors& inputs);

}  // namespace minidl
