// Optimizers against independent formulas in doubles.

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "minidl/core/ops/elementwise.h"
#include "minidl/nn/optim/adam.h"
#include "minidl/nn/optim/sgd.h"
#include "tests/catch.h"
#include "tests/device.h"

using namespace minidl;
using namespace minidl::optim;
using Values = std::vector<double>;

namespace {

constexpr int kSteps = 6;

Tensor parameter_of(const Values& values, DType dtype = f64) {
  return tensor(values, {static_cast<std::int64_t>(values.size())},
                {.dtype = dtype, .requires_grad = true});
}

// Some gradient that differs in every step and element.
double gradient_at(int step, std::size_t element) {
  return std::sin(1.7 * step + 0.9 * static_cast<double>(element) + 0.3);
}

void set_gradient(const Tensor& parameter, int step) {
  Values values;
  for (std::size_t i = 0; i < static_cast<std::size_t>(parameter.numel()); ++i) {
    values.push_back(gradient_at(step, i));
  }
  parameter.set_grad(tensor(values, parameter.shape(), {.dtype = parameter.dtype()}));
}

void check_values(const Tensor& parameter, const Values& expected) {
  const Values values = parameter.to_vector();
  const double allowed = parameter.dtype() == f64 ? 1e-13 : 1e-6;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CHECK(values[i] == Approx(expected[i]).epsilon(allowed).margin(allowed));
  }
}

double sgd_after(double p, std::size_t element, int steps, const SGDOptions& o) {
  double velocity = 0;
  for (int step = 0; step < steps; ++step) {
    double g = gradient_at(step, element) + o.weight_decay * p;
    if (o.momentum > 0) {
      velocity = step == 0 ? g : o.momentum * velocity + (1 - o.dampening) * g;
      g = o.nesterov ? g + o.momentum * velocity : velocity;
    }
    p -= o.lr * g;
  }
  return p;
}

// Adam's form where the decay is not `decoupled`.
double adam_after(double p, std::size_t element, int steps, const AdamWOptions& o,
                  bool decoupled = true) {
  double m = 0;
  double v = 0;
  for (int step = 0; step < steps; ++step) {
    double g = gradient_at(step, element);
    if (decoupled) {
      p *= 1 - o.lr * o.weight_decay;
    } else {
      g += o.weight_decay * p;
    }
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * g * g;
    const double m_hat = m / (1 - std::pow(o.beta1, step + 1));
    const double v_hat = v / (1 - std::pow(o.beta2, step + 1));
    p -= o.lr * m_hat / (std::sqrt(v_hat) + o.eps);
  }
  return p;
}

const Values kStart{0.5, -1.25, 2, 0};

}  // namespace

TEST_CASE("optimizers leave frozen parameters alone", "[optim]") {
  const Tensor frozen = ones({2});
  const Tensor trained = ones({2}).set_requires_grad();
  AdamW optimizer({frozen, trained}, {.lr = 0.1, .weight_decay = 0.1});
  (frozen * trained).sum().backward();
  optimizer.step();
  CHECK(frozen.to_vector() == std::vector<double>{1, 1});
  CHECK(trained.to_vector()[0] < 1);
}

TEST_CASE("SGD: equals the formula over several steps", "[optim]") {
  for (const DType dtype : {f64, f32}) {
    for (const SGDOptions& options :
         {SGDOptions{.lr = 0.1}, SGDOptions{.lr = 0.1, .weight_decay = 0.3},
          SGDOptions{.lr = 0.1, .momentum = 0.9},
          SGDOptions{.lr = 0.1, .momentum = 0.9, .dampening = 0.5},
          SGDOptions{.lr = 0.1, .dampening = 0.5},
          SGDOptions{.lr = 0.1, .momentum = 0.8, .weight_decay = 0.1, .nesterov = true},
          SGDOptions{.lr = 0}}) {
      CAPTURE(name(dtype), options.momentum, options.dampening, options.weight_decay,
              options.nesterov);
      const Tensor p = parameter_of(kStart, dtype);
      SGD sgd({p}, options);
      for (int step = 0; step < kSteps; ++step) {
        set_gradient(p, step);
        sgd.step();
      }
      Values expected;
      for (std::size_t i = 0; i < kStart.size(); ++i) {
        expected.push_back(sgd_after(kStart[i], i, kSteps, options));
      }
      check_values(p, expected);
    }
  }
}

TEST_CASE("AdamW: equals the formula over several steps", "[optim]") {
  for (const DType dtype : {f64, f32}) {
    for (const AdamWOptions& options :
         {AdamWOptions{}, AdamWOptions{.lr = 0.1, .weight_decay = 0},
          AdamWOptions{.lr = 0.05, .beta1 = 0.5, .beta2 = 0.7, .eps = 0.1, .weight_decay = 0.5},
          AdamWOptions{.lr = 0.1, .beta1 = 0}}) {
      CAPTURE(name(dtype), options.lr, options.beta1, options.weight_decay);
      const Tensor p = parameter_of(kStart, dtype);
      AdamW adamw({p}, options);
      for (int step = 0; step < kSteps; ++step) {
        set_gradient(p, step);
        adamw.step();
      }
      Values expected;
      for (std::size_t i = 0; i < kStart.size(); ++i) {
        expected.push_back(adam_after(kStart[i], i, kSteps, options));
      }
      check_values(p, expected);
    }
  }
}

TEST_CASE("Adam: equals the formula over several steps", "[optim]") {
  for (const DType dtype : {f64, f32}) {
    for (const AdamOptions& options :
         {AdamOptions{}, AdamOptions{.lr = 0.1, .weight_decay = 0.3},
          AdamOptions{.lr = 0.05, .beta1 = 0.5, .beta2 = 0.7, .eps = 0.1, .weight_decay = 0.5},
          AdamOptions{.lr = 0.1, .beta1 = 0}}) {
      CAPTURE(name(dtype), options.lr, options.beta1, options.weight_decay);
      const Tensor p = parameter_of(kStart, dtype);
      Adam adam({p}, options);
      for (int step = 0; step < kSteps; ++step) {
        set_gradient(p, step);
        adam.step();
      }
      const AdamWOptions same{options.lr, options.beta1, options.beta2, options.eps,
                              options.weight_decay};
      Values expected;
      for (std::size_t i = 0; i < kStart.size(); ++i) {
        expected.push_back(adam_after(kStart[i], i, kSteps, same, /*decoupled=*/false));
      }
      check_values(p, expected);
    }
  }
}

TEST_CASE("optimizers: groups have options of their own", "[optim]") {
  const Tensor a = parameter_of({1});
  const Tensor b = parameter_of({1});
  SGD sgd({a}, {.lr = 0.1});
  sgd.add_group({b}, {.lr = 0.5, .weight_decay = 2});
  CHECK(sgd.lr() == 0.1);
  set_gradient(a, 0);
  set_gradient(b, 0);
  sgd.step();
  check_values(a, {1 - 0.1 * gradient_at(0, 0)});
  check_values(b, {1 - 0.5 * (gradient_at(0, 0) + 2)});
  sgd.set_lr_factor(0.5);
  CHECK(sgd.lr() == 0.05);
  const double before = b.item();
  set_gradient(b, 1);
  sgd.step();
  check_values(b, {before - 0.25 * (gradient_at(1, 0) + 2 * before)});

  const Tensor c = parameter_of({1});
  const Tensor d = parameter_of({1});
  AdamW adamw({c}, {.lr = 0.1});
  adamw.add_group({d}, {.lr = 0.2, .weight_decay = 0.5});
  set_gradient(d, 0);
  adamw.step();
  CHECK(c.item() == 1);
  check_values(d, {adam_after(1, 0, 1, {.lr = 0.2, .weight_decay = 0.5})});
}

TEST_CASE("optimizers: parameters without a gradient are left alone", "[optim]") {
  const Tensor with = parameter_of({1});
  const Tensor without = parameter_of({1});
  SGD sgd({with, without}, {.lr = 0.1, .momentum = 0.9, .weight_decay = 0.5});
  AdamW adamw({with, without}, {});
  set_gradient(with, 0);
  sgd.step();
  adamw.step();
  CHECK(with.item() != 1);
  CHECK(without.item() == 1);
  sgd.zero_grad();
  const double value = with.item();
  sgd.step();
  adamw.step();
  CHECK(with.item() == value);
}

TEST_CASE("optimizers: a parameter that joins late starts at its own first step", "[optim]") {
  const Tensor early = parameter_of({1});
  const Tensor late = parameter_of({1});
  AdamW adamw({early, late}, {});
  set_gradient(early, 0);
  adamw.step();
  set_gradient(late, 0);
  adamw.step();
  check_values(late, {adam_after(1, 0, 1, {})});
}

TEST_CASE("optimizers: zero_grad keeps the gradient's memory", "[optim]") {
  const Tensor p = parameter_of({1});
  SGD sgd({p}, {});
  (p * 2).backward();
  const void* memory = p.grad().raw_data();
  sgd.zero_grad();
  CHECK_FALSE(p.grad().defined());
  (p * 3).backward();
  CHECK(p.grad().raw_data() == memory);
  CHECK(p.grad().item() == 3);
}

TEST_CASE("optimizers: state has the parameter's layout and is counted", "[optim]") {
  const Tensor p = ones({2, 3, 4, 5}).channels_last().detach().set_requires_grad();
  p.set_grad(ones({2, 3, 4, 5}));  // another layout than the parameter's
  const std::int64_t before = memory_stats(default_device())[MemoryTag::optimizer].current;
  AdamW adamw({p}, {});
  CHECK(memory_stats(default_device())[MemoryTag::optimizer].current == before);
  adamw.step();
  CHECK(memory_stats(default_device())[MemoryTag::optimizer].current == before + 2 * 120 * 4);
  CHECK(p.detach().amax().item() == p.detach().amin().item());
  SGD plain({p}, {});
  plain.step();
  CHECK(memory_stats(default_device())[MemoryTag::optimizer].current == before + 2 * 120 * 4);
}

TEST_CASE("optimizers: a step is a change in place that autograd notices", "[optim]") {
  struct Row {
    std::string name;
    std::function<void(const Tensor&)> step;
  };
  for (const Row& row : {Row{"SGD.step", [](const Tensor& p) { SGD({p}, {}).step(); }},
                         Row{"Adam.step", [](const Tensor& p) { Adam({p}, {}).step(); }},
                         Row{"AdamW.step", [](const Tensor& p) { AdamW({p}, {}).step(); }}}) {
    const Tensor p = parameter_of({1});
    const Tensor y = p * p;
    set_gradient(p, 0);
    row.step(p);
    CHECK(p.is_leaf());
    CHECK_THROWS_WITH(y.backward(), Contains(row.name));
  }
}

TEST_CASE("optimizers: converting a model after the first step is refused", "[optim]") {
  const Tensor p = parameter_of({1, 2}, f32);
  const Tensor q = parameter_of({1, 2}, f32);
  SGD sgd({p}, {.momentum = 0.9});
  AdamW adamw({q}, {});
  set_gradient(p, 0);
  set_gradient(q, 0);
  sgd.step();
  adamw.step();
  p.set_data(p.detach().to(f64));
  q.set_data(q.detach().to(f64));
  CHECK_NOTHROW(sgd.step());  // the gradient went with the old elements
  set_gradient(p, 1);
  set_gradient(q, 1);
  CHECK_THROWS_WITH(sgd.step(), Contains("SGD") && Contains("f64[2]") && Contains("f32[2]"));
  CHECK_THROWS_WITH(adamw.step(), Contains("AdamW") && Contains("new optimizer"));
}

TEST_CASE("optimizers: options out of range are refused by name", "[optim]") {
  const Tensors p{parameter_of({1})};
  struct Row {
    std::function<void()> run;
    std::string text;
  };
  const std::vector<Row> rows{
      {[&] { SGD(p, {.lr = NAN}); }, "SGD: lr must be a finite number"},
      {[&] { SGD(p, {.lr = -0.1}); }, "not -0.1"},
      {[&] { SGD(p, {.lr = INFINITY}); }, "SGD: lr"},
      {[&] { SGD(p, {.momentum = 1}); }, "SGD: momentum"},
      {[&] { SGD(p, {.momentum = NAN}); }, "SGD: momentum"},
      {[&] { SGD(p, {.momentum = 0.9, .dampening = -1}); }, "SGD: dampening"},
      {[&] { SGD(p, {.weight_decay = -1}); }, "SGD: weight_decay"},
      {[&] { SGD(p, {.nesterov = true}); }, "Nesterov"},
      {[&] { SGD(p, {.momentum = 0.9, .dampening = 0.1, .nesterov = true}); }, "Nesterov"},
      {[&] { AdamW(p, {.lr = NAN}); }, "AdamW: lr"},
      {[&] { AdamW(p, {.beta1 = 1}); }, "AdamW: beta1"},
      {[&] { AdamW(p, {.beta2 = -0.5}); }, "AdamW: beta2"},
      {[&] { AdamW(p, {.eps = -1}); }, "AdamW: eps"},
      {[&] { AdamW(p, {.weight_decay = NAN}); }, "AdamW: weight_decay"},
      {[&] { Adam(p, {.lr = NAN}); }, "Adam: lr"},
      {[&] { Adam(p, {.beta1 = 1}); }, "Adam: beta1"},
      {[&] { Adam(p, {.beta2 = -0.5}); }, "Adam: beta2"},
      {[&] { Adam(p, {.eps = -1}); }, "Adam: eps"},
      {[&] { Adam(p, {.weight_decay = -1}); }, "Adam: weight_decay"},
      {[&] { SGD({}, {}); }, "empty"},
      {[&] { SGD({Tensor()}, {}); }, "undefined is not a parameter"},
      {[&] { SGD({p[0] * 2}, {}); }, "is not a parameter"},
      {[&] {
         SGD({p[0], p[0]}, {});
       },
       "given twice"},
  };
  for (const Row& row : rows) {
    INFO(row.text);
    CHECK_THROWS_WITH(row.run(), Contains(row.text));
  }
}

TEST_CASE("optimizers: a group that is refused leaves no trace", "[optim]") {
  const Tensor a = parameter_of({1});
  const Tensor b = parameter_of({1});
  SGD sgd({a}, {});
  CHECK_THROWS_WITH(sgd.add_group({b, a}, {}), Contains("given twice"));
  CHECK_NOTHROW(sgd.add_group({b}, {}));
}
