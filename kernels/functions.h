// What elementwise operations on one operand compute, for the kernels of every device: from the
// name of a function to its functor. Not part of the public interface.
#pragma once

#include "minidl/kernels/activation_functions.h"
#include "minidl/kernels/math_functions.h"

namespace minidl::kernels {

/// Calls use(functor) with what `op` computes.
template <class Erf, class Use>
decltype(auto) visit_function(UnaryOp op, const Use& use) {
  switch (op) {
    case UnaryOp::neg: return use(arithmetic::Negation());
    case UnaryOp::abs: return use(arithmetic::Abs());
    case UnaryOp::sign: return use(arithmetic::Sign());
    case UnaryOp::square: return use(arithmetic::Square());
    case UnaryOp::reciprocal: return use(arithmetic::Reciprocal());
    case UnaryOp::sqrt: return use(arithmetic::Sqrt());
    case UnaryOp::rsqrt: return use(arithmetic::Rsqrt());
    case UnaryOp::exp: return use(arithmetic::Exp());
    case UnaryOp::exp2: return use(arithmetic::Exp2());
    case UnaryOp::expm1: return use(arithmetic::Expm1());
    case UnaryOp::log: return use(arithmetic::Log());
    case UnaryOp::log2: return use(arithmetic::Log2());
    case UnaryOp::log10: return use(arithmetic::Log10());
    case UnaryOp::log1p: return use(arithmetic::Log1p());
    case UnaryOp::sin: return use(arithmetic::Sin());
    case UnaryOp::cos: return use(arithmetic::Cos());
    case UnaryOp::floor: return use(arithmetic::Floor());
    case UnaryOp::ceil: return use(arithmetic::Ceil());
    case UnaryOp::round: return use(arithmetic::Round());
    case UnaryOp::trunc: return use(arithmetic::Trunc());
    case UnaryOp::bitwise_not: return use(arithmetic::BitwiseNot());
    case UnaryOp::relu: return use(arithmetic::Relu());
    case UnaryOp::sigmoid: return use(arithmetic::Sigmoid());
    case UnaryOp::logsigmoid: return use(arithmetic::LogSigmoid());
    case UnaryOp::tanh: return use(arithmetic::Tanh());
    case UnaryOp::erf: return use(arithmetic::ErrorFunction<Erf>());
    case UnaryOp::gelu: return use(arithmetic::Gelu<Erf>());
    case UnaryOp::gelu_tanh: return use(arithmetic::GeluTanh());
    case UnaryOp::silu: return use(arithmetic::Silu());
    case UnaryOp::mish: return use(arithmetic::Mish());
    case UnaryOp::hardsigmoid: return use(arithmetic::HardSigmoid());
    case UnaryOp::hardswish: return use(arithmetic::HardSwish());
  }
  fail("unary: unknown operation {}", static_cast<int>(op));
}

/// Calls use(functor) with what `op` computes in T.
template <class T, class Use>
decltype(auto) visit_function(ParametricOp op, const Parameters& parameters, const Use& use) {
  switch (op) {
    case ParametricOp::clamp: return use(arithmetic::Clamp<T>(parameters));
    case ParametricOp::hardtanh: return use(arithmetic::HardTanh<T>(parameters));
    case ParametricOp::leaky_relu: return use(arithmetic::LeakyRelu<T>(parameters));
    case ParametricOp::elu: return use(arithmetic::Elu<T>(parameters));
    case ParametricOp::softplus: return use(arithmetic::Softplus<T>(parameters));
    case ParametricOp::floor_divide: return use(arithmetic::FloorDividedBy<T>(parameters));
    case ParametricOp::remainder: return use(arithmetic::RemainderBy<T>(parameters));
  }
  fail("parametric: unknown operation {}", static_cast<int>(op));
}

/// Calls use(T{}, functor) with the C++ type of `dtype` and what `op` does to it. Throws Error
/// where the operation does not have the dtype.
template <class Erf, class Use>
void visit_unary(UnaryOp op, DType dtype, const Use& use) {
  visit_function<Erf>(op, [&](auto functor) {
    const auto with = [&](auto zero) { use(zero, functor); };
    if constexpr (decltype(functor)::kDomain == arithmetic::Domain::whole) {
      visit_whole(functor.kName, dtype, with);
    } else if constexpr (decltype(functor)::kDomain == arithmetic::Domain::numbers) {
      visit_arithmetic(functor.kName, dtype, with);
    } else {
      visit_float(functor.kName, dtype, with);
    }
  });
}

template <class Use>
void visit_parametric(ParametricOp op, const Parameters& parameters, DType dtype, const Use& use) {
  visit_arithmetic(name(op), dtype, [&](auto zero) {
    using T = decltype(zero);
    visit_function<T>(op, parameters, [&](auto functor) {
      if constexpr (std::is_floating_point_v<T> ||
                    decltype(functor)::kDomain == arithmetic::Domain::numbers) {
        use(zero, functor);
      } else {
        minidl::detail::unsupported_dtype(functor.kName, dtype);
      }
    });
  });
}

/// The same for the functor of (grad, saved) that is the gradient.
template <class Erf, class Use>
void visit_unary_gradient(UnaryOp op, DType dtype, const Use& use) {
  visit_function<Erf>(op, [&](auto functor) {
    constexpr Derivative kFrom = decltype(functor)::kDerivative;
    if constexpr (kFrom == Derivative::of_input || kFrom == Derivative::of_output) {
      visit_float(functor.kName, dtype,
                  [&](auto zero) { use(zero, arithmetic::Gradient<decltype(functor)>{functor}); });
    } else {
      fail("{}: the derivative is a constant", functor.kName);
    }
  });
}

template <class Use>
void visit_parametric_gradient(ParametricOp op, const Parameters& parameters, DType dtype,
                               const Use& use) {
  visit_float(name(op), dtype, [&](auto zero) {
    visit_function<decltype(zero)>(op, parameters, [&](auto functor) {
      if constexpr (decltype(functor)::kDerivative == Derivative::of_input) {
        use(zero, arithmetic::Gradient<decltype(functor)>{functor});
      } else {
        fail("{}: the derivative is a constant", functor.kName);
      }
    });
  });
}

/// And for x ^ exponent.
template <class Use>
void visit_power(double exponent, DType dtype, const Use& use) {
  visit_float("pow", dtype, [&](auto zero) {
    using T = decltype(zero);
    if (exponent == 1) return use(zero, arithmetic::Identity());
    if (exponent == 2) return use(zero, arithmetic::Square());
    use(zero, arithmetic::Power<T>{static_cast<T>(exponent)});
  });
}

}  // namespace minidl::kernels
