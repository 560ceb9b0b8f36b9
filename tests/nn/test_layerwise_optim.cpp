// Lion, LARS and LAMB against formulas in doubles.

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "minidl/nn/optim/lamb.h"
#include "minidl/nn/optim/lars.h"
#include "minidl/nn/optim/lion.h"
#include "tests/catch.h"
#include "tests/device.h"

using namespace minidl;
using namespace minidl::optim;
using Values = std::vector<double>;

namespace {

constexpr int kSteps = 5;
const Values kStart{0.5, -1.25, 2, 0, 0.75, -3};

// Some gradient that differs in every step and element.
Values gradient_at(int step) {
  Values values;
  for (std::size_t i = 0; i < kStart.size(); ++i) {
    values.push_back(std::sin(1.7 * step + 0.9 * static_cast<double>(i) + 0.3));
  }
  return values;
}

double norm(const Values& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum);
}

Tensor start_parameter(DType dtype) {
  return tensor(kStart, {2, 3}, {.dtype = dtype, .requires_grad = true});
}

/// Steps `optimizer` over `parameter` and compares with `expected` after each.
void check_steps(Optimizer& optimizer, const Tensor& parameter,
                 const std::function<void(int step, const Values& g, Values& p)>& formula) {
  const double allowed = parameter.dtype() == f64 ? 1e-13 : 1e-5;
  Values expected = kStart;
  for (int step = 0; step < kSteps; ++step) {
    const Values g = gradient_at(step);
    parameter.set_grad(tensor(g, {2, 3}, {.dtype = parameter.dtype()}));
    optimizer.step();
    formula(step, g, expected);
    const Values actual = parameter.to_vector();
    for (std::size_t i = 0; i < expected.size(); ++i) {
      CAPTURE(step, i);
      CHECK(actual[i] == Approx(expected[i]).epsilon(allowed).margin(allowed));
    }
  }
}

}  // namespace

TEST_CASE("Lion: equals the formula over several steps", "[optim]") {
  for (const DType dtype : {f64, f32}) {
    for (const LionOptions& o :
         {LionOptions{}, LionOptions{.lr = 0.1, .weight_decay = 0.5},
          LionOptions{.lr = 0.1, .beta1 = 0.3, .beta2 = 0.6}, LionOptions{.lr = 0.1, .beta1 = 0}}) {
      const Tensor p = start_parameter(dtype);
      Lion lion({p}, o);
      Values m(kStart.size());
      check_steps(lion, p, [&](int, const Values& g, Values& x) {
        for (std::size_t i = 0; i < x.size(); ++i) {
          const double c = o.beta1 * m[i] + (1 - o.beta1) * g[i];
          x[i] -= o.lr * ((c > 0 ? 1 : c < 0 ? -1 : 0) + o.weight_decay * x[i]);
          m[i] = o.beta2 * m[i] + (1 - o.beta2) * g[i];
        }
      });
    }
  }
}

TEST_CASE("LARS: equals the formula over several steps", "[optim]") {
  for (const DType dtype : {f64, f32}) {
    for (const LARSOptions& o :
         {LARSOptions{.lr = 1}, LARSOptions{.lr = 0.5, .momentum = 0, .trust_coefficient = 0.1},
          LARSOptions{.lr = 1, .momentum = 0.5, .weight_decay = 0.2, .trust_coefficient = 0.1},
          LARSOptions{.lr = 0.1, .weight_decay = 0.2, .eps = 0.3},
          LARSOptions{.lr = 0.1, .weight_decay = 0.2, .adapt = false}}) {
      const Tensor p = start_parameter(dtype);
      LARS lars({p}, o);
      Values v(kStart.size());
      check_steps(lars, p, [&](int, const Values& g, Values& x) {
        const double trust =
            o.adapt ? o.trust_coefficient * norm(x) / (norm(g) + o.weight_decay * norm(x) + o.eps)
                    : 1;
        for (std::size_t i = 0; i < x.size(); ++i) {
          v[i] = o.momentum * v[i] + trust * (g[i] + o.weight_decay * x[i]);
          x[i] -= o.lr * v[i];
        }
      });
    }
  }
}

TEST_CASE("LAMB: equals the formula over several steps", "[optim]") {
  for (const DType dtype : {f64, f32}) {
    for (const LAMBOptions& o :
         {LAMBOptions{}, LAMBOptions{.lr = 0.1, .weight_decay = 0},
          LAMBOptions{.lr = 0.1, .beta1 = 0.5, .beta2 = 0.7, .eps = 0.1, .weight_decay = 0.5},
          LAMBOptions{.lr = 0.1, .adapt = false}}) {
      const Tensor p = start_parameter(dtype);
      LAMB lamb({p}, o);
      Values m(kStart.size());
      Values v(kStart.size());
      check_steps(lamb, p, [&](int step, const Values& g, Values& x) {
        Values r(x.size());
        for (std::size_t i = 0; i < x.size(); ++i) {
          m[i] = o.beta1 * m[i] + (1 - o.beta1) * g[i];
          v[i] = o.beta2 * v[i] + (1 - o.beta2) * g[i] * g[i];
          const double m_hat = m[i] / (1 - std::pow(o.beta1, step + 1));
          const double v_hat = v[i] / (1 - std::pow(o.beta2, step + 1));
          r[i] = m_hat / (std::sqrt(v_hat) + o.eps) + o.weight_decay * x[i];
        }
        const double trust = o.adapt ? norm(x) / norm(r) : 1;
        for (std::size_t i = 0; i < x.size(); ++i) x[i] -= o.lr * trust * r[i];
      });
    }
  }
}

TEST_CASE("LARS and LAMB: parameters that are zero can leave it", "[optim]") {
  const Tensor p = zeros({2}, {.requires_grad = true});
  const Tensor q = zeros({2}, {.requires_grad = true});
  p.set_grad(ones({2}));
  q.set_grad(ones({2}));
  LARS({p}, {.lr = 0.5}).step();
  LAMB({q}, {.lr = 0.5, .eps = 0}).step();
  CHECK(p.to_vector() == Values{-0.5, -0.5});
  CHECK(q.to_vector()[0] == Approx(-0.5));
}

TEST_CASE("LARS and LAMB: a gradient of zeros changes nothing but the decay", "[optim]") {
  const Tensor p = ones({2}, {.requires_grad = true});
  const Tensor q = ones({2}, {.requires_grad = true});
  p.set_grad(zeros({2}));
  q.set_grad(zeros({2}));
  LARS({p}, {.lr = 0.5}).step();
  LAMB({q}, {.lr = 0.5, .weight_decay = 0}).step();
  CHECK(p.to_vector() == Values{1, 1});
  CHECK(q.to_vector() == Values{1, 1});
}

TEST_CASE("layer-wise optimizers: misuse is refused by name", "[optim]") {
  const Tensors p{start_parameter(f64)};
  struct Misuse {
    std::function<void()> run;
    std::string text;
  };
  const std::vector<Misuse> rows{
      {[&] { Lion(p, {.lr = NAN}); }, "Lion: lr"},
      {[&] { Lion(p, {.beta1 = 1}); }, "Lion: beta1"},
      {[&] { Lion(p, {.beta2 = -1}); }, "Lion: beta2"},
      {[&] { Lion(p, {.weight_decay = -1}); }, "Lion: weight_decay"},
      {[&] { LARS(p, {.lr = -1}); }, "LARS: lr"},
      {[&] { LARS(p, {.momentum = 1}); }, "LARS: momentum"},
      {[&] { LARS(p, {.weight_decay = -1}); }, "LARS: weight_decay"},
      {[&] { LARS(p, {.trust_coefficient = -1}); }, "LARS: trust_coefficient"},
      {[&] { LARS(p, {.eps = -1}); }, "LARS: eps"},
      {[&] { LAMB(p, {.lr = INFINITY}); }, "LAMB: lr"},
      {[&] { LAMB(p, {.beta1 = 1}); }, "LAMB: beta1"},
      {[&] { LAMB(p, {.beta2 = 1}); }, "LAMB: beta2"},
      {[&] { LAMB(p, {.eps = -1}); }, "LAMB: eps"},
      {[&] { LAMB(p, {.weight_decay = NAN}); }, "LAMB: weight_decay"},
  };
  for (const Misuse& row : rows) {
    INFO(row.text);
    CHECK_THROWS_WITH(row.run(), Contains(row.text));
  }
  Lion lion(p, {});
  p[0].set_grad(ones({2, 3}, {.dtype = f64}));
  lion.step();
  p[0].set_data(p[0].detach().to(f32));
  p[0].set_grad(ones({2, 3}));
  CHECK_THROWS_WITH(lion.step(), Contains("Lion") && Contains("new optimizer"));
}

TEST_CASE("LAMB: a step needs one temporary of a parameter's size", "[optim]") {
  const std::int64_t count = 1 << 16;
  const Tensor p = ones({count}, {.requires_grad = true});
  p.set_grad(ones({count}));
  LAMB lamb({p}, {});
  lamb.step();
  allocator(default_device()).reset_peaks();
  const std::int64_t before = memory_stats(default_device()).total.current;
  lamb.step();
  const std::int64_t peak = memory_stats(default_device()).total.peak;
  CHECK(peak - before >= count * 4);
  CHECK(peak - before < count * 5);
}
