// What an operation is, and the one function that runs it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "minidl/core/autocast.h"
#include "minidl/core/tensor.h"
#include "minidl/kernels/common/exec_context.h"

namespace minidl {

/// Everything about a tensor but its elements: what `Op::infer` computes with.
struct TensorSpec {
  Shape shape;
  Strides strides;
  DType dtype = f32;
  Device device;
  bool defined = true;         ///< false stands for an optional operand that was not given
  bool differentiable = true;  ///< of an output: false if no gradient ever flows back through it
  /// Of an output: set if it is a view of input 0, starting there (in elements, from the beginning
  /// of the storage). Nothing is allocated then and compute is not called.
  std::optional<std::int64_t> alias_offset;
  std::int64_t offset = 0;  ///< of an input: where it starts in its storage

  std::int64_t numel() const { return minidl::numel(shape); }
  int dim() const { return shape.size(); }

  /// The same dtype and device with another shape, row-major.
  TensorSpec with_shape(const Shape& new_shape) const;
  TensorSpec with_dtype(DType new_dtype) const;
};
using TensorSpecs = std::vector<TensorSpec>;
using Views = std::span<const kernels::View>;

class BackwardContext;

/// Which operands backward reads, as bit masks (bit i stands for input i or output i). Only these
/// are kept alive between forward and backward.
struct Saves {
  std::uint32_t inputs = 0;
  std::uint32_t outputs = 0;
};

/// An operation: its attributes are its members, everything else happens in three functions. One
/// object serves one call and its backward, or every replay of a captured graph, so all are const.
/// Derive from it to write your own; docs/adding-an-op.md shows how.
class Op {
 public:
  virtual ~Op() = default;

  /// PyTorch's name where it has one. Errors carry it.
  virtual const char* name() const = 0;

  /// The attributes as a reader would want them: "stride [2, 2], padding [1, 1]". For printing.
  virtual std::string attributes() const { return {}; }

  /// Checks the operands and says what the outputs look like; throws Error. Sees no elements.
  virtual TensorSpecs infer(std::span<const TensorSpec> inputs) const = 0;

  /// Fills `outputs`, allocated as `infer` said. Optional operands not given are undefined views.
  virtual void compute(ExecContext& ctx, Views inputs, Views outputs) const = 0;

  /// The gradients of the inputs (undefined where there is none) from those of the outputs
  /// (undefined for an output that nothing was computed from). Runs without recording.
  /// The default throws Error.
  virtual Tensors backward(const BackwardContext& ctx, const Tensors& grads) const;

  /// Return false from operations that have no gradient: they are not recorded.
  virtual bool differentiable() const { return true; }

  /// What happens to floating-point operands under Autocast.
  virtual AutocastRule autocast() const { return AutocastRule::as_given; }

  /// What backward reads of its context. `needs_grad[i]` says whether input i wants a gradient.
  virtual Saves saves(const std::vector<bool>& needs_grad) const;
};

/// What backward may look at.
class BackwardContext {
 public:
  virtual ~BackwardContext() = default;
  virtual int inputs() const = 0;
  virtual bool needs_grad(int input) const = 0;
  virtual const TensorSpec& input_spec(int input) const = 0;
  /// Saved operands; throws Error if changed in place since, or not named by Op::saves.
  virtual Tensor input(int index) const = 0;
  virtual Tensor output(int index) const = 0;
};

/// Runs `op`: cast its operands if Autocast is active, infer, allocate, compute, record on the tape
/// if an input requires a gradient, and tell the observers. Defined inputs must be on one device.
/// If one of them is fake, so are the outputs: nothing is allocated or computed.
Tensors apply_op(const std::shared_ptr<const Op>& op, const Tensors& inputs);

/// While it lives, it is told about every operation on this thread after it has run: those inside
/// backward, too, but not those that an op uses in its own compute. Changes in place and factories
/// are not operations. Observers nest.
class OpObserver {
 public:
  OpObserver();
  virtual ~OpObserver();
  OpObserver(const OpObserver&) = delete;
  OpObserver& operator=(const OpObserver&) = delete;

  virtual void on_op(const std::shared_ptr<const Op>& op, const Tensors& inputs,
                     const Tensors& outputs) = 0;
};

/// Makes the op from `args` and runs it; for the many ops with one output.
template <class O, class... Args>
Tensor apply_op(const Tensors& inputs, Args&&... args) {
  const auto op = std::make_shared<const O>(std::forward<Args>(args)...);
  return apply_op(op, inputs).front();
}

/// The spec of an elementwise result: shapes broadcast; the layout is that of the first input which
/// has the full shape and is dense, else row-major.
TensorSpec elementwise_spec(const char* op, std::span<const TensorSpec> inputs);

TensorSpec spec_of(const Tensor& tensor);

/// An ExecContext for the device of `tensor`.
ExecContext context_for(const Tensor& tensor);

}  // namespace minidl
