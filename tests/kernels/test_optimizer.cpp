#include <cmath>
#include <limits>

#include "minidl/kernels/common/error.h"
#include "minidl/kernels/optimizer.h"
#include "tests/catch.h"
#include "tests/random_views.h"

using namespace minidl;
using namespace minidl::kernels;
using namespace minidl::test;

namespace {

// Stochastic gradient descent on one number, step after step.
struct SgdReference {
  double p;
  double velocity = 0;
  bool started = false;

  void step(const SgdParams& params, double g) {
    g += params.weight_decay * p;
    if (params.momentum != 0) {
      velocity = started ? params.momentum * velocity + (1 - params.dampening) * g : g;
      started = true;
      g = params.nesterov ? g + params.momentum * velocity : velocity;
    }
    p -= params.lr * g;
  }
};

// Adam as in its paper, with the bias-corrected moments written out.
struct AdamReference {
  double p;
  double m = 0;
  double v = 0;

  void step(const AdamParams& params, double g) {
    if (params.decoupled) {
      p -= params.lr * params.weight_decay * p;
    } else {
      g += params.weight_decay * p;
    }
    m = params.beta1 * m + (1 - params.beta1) * g;
    v = params.beta2 * v + (1 - params.beta2) * g * g;
    const double t = static_cast<double>(params.step);
    const double m_hat = m / (1 - std::pow(params.beta1, t));
    const double v_hat = v / (1 - std::pow(params.beta2, t));
    p -= params.lr * m_hat / (std::sqrt(v_hat) + params.eps);
  }
};

// An operand that may have another layout than the parameter.
struct Layouts {
  Layout param;
  Layout grad;
  Layout state;
};

const Layouts kLayoutCases[] = {
    {Layout::contiguous, Layout::contiguous, Layout::contiguous},
    {Layout::reversed, Layout::reversed, Layout::reversed},
    {Layout::contiguous, Layout::reversed, Layout::sliced},
    {Layout::sliced, Layout::stretched, Layout::contiguous},
};

const Shape kShapes[] = {{}, {0}, {1}, {3, 17}, {2, 3, 4, 5}, {513}};

constexpr int kSteps = 3;

void check_sgd(SgdParams params, DType dtype, const Shape& shape, const Layouts& layouts) {
  ExecContext ctx = test_context();
  Draw draw(-1, 1);
  const auto next = [&] { return draw(); };
  const TestTensor param = TestTensor(dtype, shape, layouts.param).fill(next);
  TestTensor momentum(dtype, shape, layouts.state);
  momentum.fill([] { return std::numeric_limits<double>::quiet_NaN(); });  // never read first
  std::vector<SgdReference> expected;
  for (const double value : param.values()) expected.push_back({value});
  for (int step = 0; step < kSteps; ++step) {
    const TestTensor grad = TestTensor(dtype, shape, layouts.grad).fill(next);
    params.first_step = step == 0;
    sgd_step(ctx, params, param.view(), grad.view(),
             params.momentum == 0 ? View{} : momentum.view());
    for (std::int64_t i = 0; i < param.numel(); ++i) {
      SgdReference& reference = expected[static_cast<std::size_t>(i)];
      reference.step(params, grad.get(i));
      INFO(describe(param) << " step " << step << " element " << i);
      CHECK(close(param.get(i), reference.p, tolerance(dtype, reference.p)));
    }
  }
}

void check_adam(AdamParams params, DType dtype, const Shape& shape, const Layouts& layouts) {
  ExecContext ctx = test_context();
  Draw draw(-1, 1);
  const auto next = [&] { return draw(); };
  const TestTensor param = TestTensor(dtype, shape, layouts.param).fill(next);
  const TestTensor exp_avg(dtype, shape, layouts.state);
  const TestTensor exp_avg_sq(dtype, shape, layouts.state);
  std::vector<AdamReference> expected;
  for (const double value : param.values()) expected.push_back({value});
  for (int step = 0; step < kSteps; ++step) {
    const TestTensor grad = TestTensor(dtype, shape, layouts.grad).fill(next);
    params.step = step + 1;
    adam_step(ctx, params, param.view(), grad.view(), exp_avg.view(), exp_avg_sq.view());
    for (std::int64_t i = 0; i < param.numel(); ++i) {
      AdamReference& reference = expected[static_cast<std::size_t>(i)];
      reference.step(params, grad.get(i));
      INFO(describe(param) << " step " << step << " element " << i);
      CHECK(close(param.get(i), reference.p, 2 * tolerance(dtype, reference.p)));
      CHECK(close(exp_avg.get(i), reference.m, tolerance(dtype, reference.m)));
      CHECK(close(exp_avg_sq.get(i), reference.v, tolerance(dtype, reference.v)));
    }
  }
}

template <class Params, class Check>
void for_each_case(std::initializer_list<Params> cases, const Check& check) {
  int number = 0;
  for (const Params& params : cases) {
    INFO("MINIDL_TEST_SEED=" << test_seed() << " case " << number++);
    for (const DType dtype : {f32, f64}) {
      for (const Shape& shape : kShapes) {
        for (const Layouts& layouts : kLayoutCases) check(params, dtype, shape, layouts);
      }
    }
  }
}

}  // namespace

TEST_CASE("sgd agrees with the formula", "[optimizer]") {
  for_each_case<SgdParams>(
      {
          {0.1, 0, 0, 0, false, false},
          {0.1, 0, 0, 0.05, false, false},
          {0.1, 0.9, 0, 0, false, false},
          {0.1, 0.9, 0.5, 0.05, false, false},
          {0.1, 0.9, 0, 0.05, true, false},
      },
      check_sgd);
}

TEST_CASE("adam agrees with the formula", "[optimizer]") {
  for_each_case<AdamParams>(
      {
          {0.1, 0.9, 0.999, 1e-8, 0, true, 1},
          {0.1, 0.9, 0.999, 1e-8, 0.05, true, 1},
          {0.1, 0.8, 0.95, 1e-3, 0.05, false, 1},
      },
      check_adam);
}

TEST_CASE("parameters and gradients may lie anywhere in a bucket", "[optimizer]") {
  INFO("MINIDL_TEST_SEED=" << test_seed());
  ExecContext ctx = test_context();
  constexpr std::int64_t kCount = 257;
  constexpr std::int64_t kWhole = kCount + 8;
  const SgdParams sgd{.lr = 0.1, .momentum = 0.9, .first_step = true};
  for (const DType dtype : {f32, f64}) {
    for (const std::int64_t start : {0, 1, 3, 4}) {
      const TestTensor before = TestTensor(dtype, {kWhole}).fill(Draw(-1, 1));
      const TestTensor param = before;
      const TestTensor grad = TestTensor(dtype, {kWhole}).fill(Draw(1, 2));
      const TestTensor momentum(dtype, {kCount});
      sgd_step(ctx, sgd, window(param.view(), start, {kCount}), window(grad.view(), 1, {kCount}),
               momentum.view());
      INFO(name(dtype) << " at " << start);
      for (std::int64_t i = 0; i < kWhole; ++i) {
        const std::int64_t element = i - start;
        const bool inside = element >= 0 && element < kCount;
        const double expected = before.get(i) - (inside ? sgd.lr * grad.get(1 + element) : 0);
        if (!close(param.get(i), expected, tolerance(dtype, 1))) CHECK(param.get(i) == expected);
      }
      const std::vector<double> grads = grad.values();
      CHECK(momentum.values() ==
            std::vector<double>(grads.begin() + 1, grads.begin() + 1 + kCount));
    }
  }
}

TEST_CASE("optimizers refuse integers", "[optimizer]") {
  ExecContext ctx = test_context();
  const TestTensor x(i32, {2});
  CHECK_THROWS_WITH(sgd_step(ctx, {}, x.view(), x.view(), {}),
                    Contains("sgd_step") && Contains("i32"));
  CHECK_THROWS_WITH(adam_step(ctx, {}, x.view(), x.view(), x.view(), x.view()),
                    Contains("adam_step") && Contains("i32"));
}
