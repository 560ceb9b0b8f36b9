// The steps of Lion and LARS in every layout; the optimizers have tests of their own.

#include <cmath>
#include <vector>

#include "minidl/kernels/norm.h"
#include "minidl/kernels/optimizer.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;

namespace {

struct Layouts {
  Layout param, grad, state;
};

const Layouts kLayoutCases[] = {
    {Layout::contiguous, Layout::contiguous, Layout::contiguous},
    {Layout::reversed, Layout::reversed, Layout::reversed},
    {Layout::contiguous, Layout::reversed, Layout::sliced},
    {Layout::sliced, Layout::stretched, Layout::contiguous},
};

const Shape kShapes[] = {{}, {0}, {1}, {3, 17}, {2, 3, 4, 5}, {513}};

/// Operands of one step.
struct Operands {
  TestTensor param, grad, state;

  Operands(DType dtype, const Shape& shape, const Layouts& layouts, Draw& draw)
      : param(dtype, shape, layouts.param),
        grad(dtype, shape, layouts.grad),
        state(dtype, shape, layouts.state) {
    for (TestTensor* operand : {&param, &grad, &state}) operand->fill([&] { return draw(); });
  }
};

template <class Check>
void for_each_case(const Check& check) {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  Draw draw(-1, 1);
  for (const DType dtype : {f32, f64}) {
    for (const Shape& shape : kShapes) {
      for (const Layouts& layouts : kLayoutCases) {
        check(dtype, Operands(dtype, shape, layouts, draw));
      }
    }
  }
}

}  // namespace

TEST_CASE("lion agrees with the formula", "[optimizer]") {
  ExecContext ctx = test_context();
  const LionParams params{.lr = 0.1, .beta1 = 0.7, .beta2 = 0.9, .weight_decay = 0.3};
  for_each_case([&](DType dtype, const Operands& before) {
    const Operands after = before;
    lion_step(ctx, params, after.param.view(), after.grad.view(), after.state.view());
    for (std::int64_t i = 0; i < before.param.numel(); ++i) {
      const double g = before.grad.get(i);
      const double m = before.state.get(i);
      const double direction = params.beta1 * m + (1 - params.beta1) * g;
      if (std::abs(direction) < 1e-5) continue;  // rounding may turn its sign
      const double p = before.param.get(i);
      const double expected = p - params.lr * ((direction > 0 ? 1 : -1) + params.weight_decay * p);
      INFO(describe(before.param) << " element " << i);
      CHECK(close(after.param.get(i), expected, tolerance(dtype, expected)));
      const double state = params.beta2 * m + (1 - params.beta2) * g;
      CHECK(close(after.state.get(i), state, tolerance(dtype, state)));
    }
  });
}

TEST_CASE("lars agrees with the formula", "[optimizer]") {
  ExecContext ctx = test_context();
  for (const LarsParams& params :
       {LarsParams{.lr = 0.1, .weight_decay = 0.3, .trust_coefficient = 0.5},
        LarsParams{.lr = 0.1, .momentum = 0.8, .trust_coefficient = 0.5, .eps = 0.2},
        LarsParams{.lr = 0.1, .momentum = 0.8, .weight_decay = 0.3, .adapt = false}}) {
    for_each_case([&](DType dtype, const Operands& before) {
      const Operands after = before;
      const TestTensor param_norm(dtype, {});
      const TestTensor grad_norm(dtype, {});
      l2_norm(ctx, after.param.view(), param_norm.view());
      l2_norm(ctx, after.grad.view(), grad_norm.view());
      const bool has_state = params.momentum > 0;
      lars_step(ctx, params, after.param.view(), after.grad.view(),
                has_state ? after.state.view() : View{}, param_norm.view(), grad_norm.view());
      const double p_norm = param_norm.get(0);
      const double g_norm = grad_norm.get(0);
      const double trust = params.adapt && p_norm > 0 && g_norm > 0
                               ? params.trust_coefficient * p_norm /
                                     (g_norm + params.weight_decay * p_norm + params.eps)
                               : 1;
      for (std::int64_t i = 0; i < before.param.numel(); ++i) {
        const double p = before.param.get(i);
        const double v = (has_state ? params.momentum * before.state.get(i) : 0) +
                         trust * (before.grad.get(i) + params.weight_decay * p);
        const double expected = p - params.lr * v;
        INFO(describe(before.param) << " element " << i);
        CHECK(close(after.param.get(i), expected, tolerance(dtype, expected)));
        if (has_state) CHECK(close(after.state.get(i), v, tolerance(dtype, v)));
      }
    });
  }
}
