// Mixed precision: while an Autocast lives, products are computed in 16 bits and what needs the
// range or the digits in f32 (Micikevicius et al. 2018, "Mixed Precision Training").
#pragma once

#include "minidl/core/tensor.h"

namespace minidl {

/// What an operation wants of its floating-point operands under Autocast. PyTorch's lists.
enum class AutocastRule {
  as_given,       ///< whatever dtype arrives: activations, pooling, batch_norm, views, sums of two
  low_precision,  ///< f16 or bf16: matmul, linear, convolutions, attention
  full_precision  ///< f32: exp, log, pow, softmax, losses, layer_norm, group_norm, sum, cumsum
};

/// While it lives, operations on this thread cast their f32, f16 and bf16 operands as their
/// AutocastRule says; operands of f64 and integers stay, and with an f64 operand all do. Casts are
/// recorded: f32 parameters get f32 gradients. A parameter is cast once and the copy kept until the
/// outermost Autocast ends. Backward needs no Autocast and is not changed by one.
///
///     Tensor loss;
///     { dl::Autocast amp(dl::bf16); loss = dl::cross_entropy(model(x), y); }
///     loss.backward();
///
/// Scopes nest; `Autocast(f32)` switches it off inside another one. Throws Error for a dtype that
/// is not f16, bf16 or f32. With f16, scale the loss with a GradScaler; bf16 has the range of f32.
class Autocast {
 public:
  explicit Autocast(DType dtype = bf16, bool enabled = true);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  DType previous_;
};

/// The 16-bit dtype that operations on this thread cast to now; f32 where no Autocast is active.
DType autocast_dtype();

inline bool autocast_enabled() {
  return autocast_dtype() != f32;
}

class Op;

namespace detail {

/// The operands as `op` wants them under the Autocast that is active.
Tensors autocast_operands(const Op& op, const Tensors& inputs);

}  // namespace detail
}  // namespace minidl
