#include <algorithm>
#include <cmath>

#include "minidl/core/ops/loss.h"
#include "minidl/core/ops/softmax.h"
#include "tests/ops/op_table.h"

namespace minidl::test {
namespace {

using Formula = std::function<double(double x, double y)>;
using LossFunction = std::function<Tensor(const Tensor&, const Tensor&, LossReduction)>;

const char* name(LossReduction reduction) {
  switch (reduction) {
    case LossReduction::mean: return "mean";
    case LossReduction::sum: return "sum";
    case LossReduction::none: return "none";
    case LossReduction::batchmean: return "batchmean";
  }
  return "unknown";
}

/// The losses, reduced; the mean divides by `weights`.
Array reduced(const Array& losses, LossReduction reduction, double weights) {
  if (reduction == LossReduction::none) return losses;
  Array sum{Shape{}};
  for (const double loss : losses.values) sum.values[0] += loss;
  if (reduction == LossReduction::mean) sum.values[0] /= weights;
  if (reduction == LossReduction::batchmean) sum.values[0] /= static_cast<double>(losses.shape[0]);
  return sum;
}

/// A loss of every element, and what its operands look like.
struct Pointwise {
  std::string name;
  LossFunction run;
  Formula formula;
  double input_low = -2, input_high = 2;
  double target_low = -2, target_high = 2;
  bool broadcasts = true;
  bool has_batchmean = false;
};

Sample pointwise_sample(const Pointwise& loss, const Shape& x, const Shape& y,
                        LossReduction reduction) {
  return {to_string(x) + ", " + to_string(y) + " " + name(reduction),
          {{x, loss.input_low, loss.input_high}, {y, loss.target_low, loss.target_high}},
          [=](const Tensors& in) { return loss.run(in[0], in[1], reduction); },
          [=](const Arrays& in) {
            const Array losses = generate(broadcast_shapes("test", x, y), [&](const Dims& index) {
              return loss.formula(in[0].broadcast_at(index), in[1].broadcast_at(index));
            });
            return reduced(losses, reduction, static_cast<double>(losses.values.size()));
          }};
}

void add_pointwise(std::vector<OpRow>& rows, const Pointwise& loss) {
  rows.push_back(
      {loss.name,
       [=](Chooser& choose) {
         std::vector<Sample> samples{
             pointwise_sample(loss, {0, 3}, {0, 3}, LossReduction::sum),
             pointwise_sample(loss, {}, {}, LossReduction::mean),
             pointwise_sample(loss, {2, 3, 4, 5}, {2, 3, 4, 5}, LossReduction::mean),
             pointwise_sample(loss, {2, 3, 2, 3}, {2, 3, 2, 3}, LossReduction::none)};
         if (loss.broadcasts) {
           samples.push_back(pointwise_sample(loss, {3, 1}, {2, 1, 4}, LossReduction::sum));
           samples.push_back(pointwise_sample(loss, {4}, {3, 4}, LossReduction::none));
         }
         const Shape shape = choose.shape(static_cast<int>(choose.between(1, 4)));
         samples.push_back(pointwise_sample(loss, shape, shape, LossReduction::sum));
         return samples;
       },
       [=] {
         return pointwise_sample(loss, {256, 4096}, {256, 4096}, LossReduction::mean);
       }});
}

double log_sigmoid(double x) {
  return -std::log1p(std::exp(-x));
}

double kl_of(double x, double y) {
  return y * (std::log(y) - x);
}

// Losses of numbers, by their differences. The operands never differ by a kink's distance.
void add_difference_losses(std::vector<OpRow>& rows) {
  add_pointwise(
      rows, {"mse_loss",
             [](const Tensor& x, const Tensor& y, LossReduction r) { return mse_loss(x, y, r); },
             [](double x, double y) { return (x - y) * (x - y); }});
  add_pointwise(rows,
                {"l1_loss",
                 [](const Tensor& x, const Tensor& y, LossReduction r) { return l1_loss(x, y, r); },
                 [](double x, double y) { return std::abs(x - y); }});
  add_pointwise(rows, {"smooth_l1_loss",
                       [](const Tensor& x, const Tensor& y, LossReduction r) {
                         return smooth_l1_loss(x, y, r, 0.7);
                       },
                       [](double x, double y) {
                         const double d = std::abs(x - y);
                         return d < 0.7 ? 0.5 * d * d / 0.7 : d - 0.35;
                       }});
  add_pointwise(rows, {"huber_loss",
                       [](const Tensor& x, const Tensor& y, LossReduction r) {
                         return huber_loss(x, y, r, 0.7);
                       },
                       [](double x, double y) {
                         const double d = std::abs(x - y);
                         return d <= 0.7 ? 0.5 * d * d : 0.7 * (d - 0.35);
                       }});
}

void add_probability_losses(std::vector<OpRow>& rows) {
  add_pointwise(
      rows, {"binary_cross_entropy",
             [](const Tensor& x, const Tensor& y, LossReduction r) {
               return binary_cross_entropy(x, y, {}, r);
             },
             [](double x, double y) { return -y * std::log(x) - (1 - y) * std::log(1 - x); }, 0.05,
             0.95, 0, 1, false});
  add_pointwise(
      rows, {"binary_cross_entropy_with_logits",
             [](const Tensor& x, const Tensor& y, LossReduction r) {
               return binary_cross_entropy_with_logits(x, y, {}, r);
             },
             [](double x, double y) { return -y * log_sigmoid(x) - (1 - y) * log_sigmoid(-x); }, -3,
             3, 0, 1, false});
  add_pointwise(
      rows,
      {"kl_div", [](const Tensor& x, const Tensor& y, LossReduction r) { return kl_div(x, y, r); },
       kl_of, -3, 0, 0.05, 0.95, true, true});
  add_pointwise(rows, {"kl_div (log_target)",
                       [](const Tensor& x, const Tensor& y, LossReduction r) {
                         return kl_div(x, y, r, true);
                       },
                       [](double x, double y) { return kl_of(x, std::exp(y)); }, -3, 0, -3, 0});
}

// Inputs: x, y, weight, pos_weight.
Sample weighted_logits_sample(const Shape& shape, const Shape& weight, const Shape& pos_weight,
                              LossReduction reduction) {
  return {to_string(shape) + " weight " + to_string(weight) + " pos_weight " +
              to_string(pos_weight) + " " + name(reduction),
          {{shape, -3, 3},
           {shape, 0, 1},
           {weight, 0.5, 2, Input::Kind::constant},
           {pos_weight, 0.5, 4, Input::Kind::constant}},
          [=](const Tensors& in) {
            return binary_cross_entropy_with_logits(in[0], in[1], in[2], reduction, in[3]);
          },
          [=](const Arrays& in) {
            const Array losses = generate(shape, [&](const Dims& index) {
              const double x = in[0].at(index);
              const double y = in[1].at(index);
              return -in[2].broadcast_at(index) *
                     (in[3].broadcast_at(index) * y * log_sigmoid(x) + (1 - y) * log_sigmoid(-x));
            });
            return reduced(losses, reduction, static_cast<double>(losses.values.size()));
          }};
}

struct LabelCase {
  Shape x;  ///< [N, C, ...] or [C]
  bool weighted = false;
  LossReduction reduction = LossReduction::mean;
  double label_smoothing = 0;
  std::int64_t ignore_index = -100;
  bool softmax = false;  ///< cross_entropy of logits, else nll_loss
};

Array log_softmax_of(const Array& x, int dim) {
  return generate(x.shape, [&](Dims index) {
    const double own = x.at(index);
    double sum = 0;
    for (std::int64_t c = 0; c < x.shape[dim]; ++c) {
      index[dim] = c;
      sum += std::exp(x.at(index));
    }
    return own - std::log(sum);
  });
}

Array reference_label_loss(const LabelCase& c, const Arrays& in) {
  const int dim = c.x.size() == 1 ? 0 : 1;
  const Array log_probs = c.softmax ? log_softmax_of(in[0], dim) : in[0];
  const auto classes = static_cast<double>(c.x[dim]);
  double shares = 0;
  const Array losses = generate(in[1].shape, [&](const Dims& at) {
    const auto label = static_cast<std::int64_t>(in[1].at(at));
    if (label == c.ignore_index) return 0.0;
    Dims index = at;
    index.insert(dim, 0);
    auto part = [&](std::int64_t k) {
      index[dim] = k;
      return -(c.weighted ? in[2].at({k}) : 1) * log_probs.at(index);
    };
    double spread = 0;
    for (std::int64_t k = 0; k < c.x[dim]; ++k) spread += part(k);
    shares += c.weighted ? in[2].at({label}) : 1;
    return (1 - c.label_smoothing) * part(label) + c.label_smoothing / classes * spread;
  });
  return reduced(losses, c.reduction, shares);
}

Sample label_sample(const LabelCase& c) {
  const int dim = c.x.size() == 1 ? 0 : 1;
  Shape target = c.x;
  target.erase(dim);
  const auto classes = static_cast<double>(c.x[dim]);
  const Input::Kind weight = c.weighted ? Input::Kind::constant : Input::Kind::none;
  return {to_string(c.x) + " " + name(c.reduction) + (c.weighted ? " weighted" : "") +
              " smoothing " + std::to_string(c.label_smoothing) + " ignoring " +
              std::to_string(c.ignore_index),
          {{c.x}, {target, 0, classes, Input::Kind::labels}, {{c.x[dim]}, 0.5, 2, weight}},
          [=](const Tensors& in) {
            if (!c.softmax) {
              return nll_loss(
                  in[0], in[1],
                  {.weight = in[2], .ignore_index = c.ignore_index, .reduction = c.reduction});
            }
            return cross_entropy(in[0], in[1],
                                 {.label_smoothing = c.label_smoothing,
                                  .ignore_index = c.ignore_index,
                                  .weight = in[2],
                                  .reduction = c.reduction});
          },
          [=](const Arrays& in) { return reference_label_loss(c, in); }};
}

std::vector<Sample> label_samples(Chooser& choose, bool softmax) {
  // Some of many targets are ignored, and some are not.
  std::vector<LabelCase> cases{
      {.x = {3}},
      {.x = {4}, .weighted = true, .reduction = LossReduction::none},
      {.x = {0, 3}, .reduction = LossReduction::sum},
      {.x = {2, 1}, .reduction = LossReduction::none},
      {.x = {40, 3}, .weighted = true, .ignore_index = 1},
      {.x = {2, 3, 5, 4}, .weighted = true, .ignore_index = 2},
      {.x = {2, 3, 4}, .reduction = LossReduction::none, .ignore_index = 0},
  };
  for (int i = 0; i < 3; ++i) {
    cases.push_back({.x = {choose.between(1, 4), choose.between(2, 5), choose.between(1, 3)},
                     .weighted = choose.coin(),
                     .reduction = choose.coin() ? LossReduction::mean : LossReduction::sum});
  }
  std::vector<Sample> samples;
  for (LabelCase& c : cases) {
    c.softmax = softmax;
    if (softmax) c.label_smoothing = choose.coin() ? choose.real(0, 1) : 0;
    samples.push_back(label_sample(c));
  }
  return samples;
}

// Targets that are probabilities. Inputs: logits, target, weight.
Sample soft_target_sample(const Shape& x, LossReduction reduction, double label_smoothing) {
  const int dim = x.size() == 1 ? 0 : 1;
  return {to_string(x) + " " + name(reduction) + " smoothing " + std::to_string(label_smoothing),
          {{x}, {x, 0, 1}, {{x[dim]}, 0.5, 2, Input::Kind::constant}},
          [=](const Tensors& in) {
            return cross_entropy(
                in[0], in[1],
                {.label_smoothing = label_smoothing, .weight = in[2], .reduction = reduction});
          },
          [=](const Arrays& in) {
            const Array log_probs = log_softmax_of(in[0], dim);
            Shape rows = x;
            rows.erase(dim);
            const Array losses = generate(rows, [&](const Dims& at) {
              Dims index = at;
              index.insert(dim, 0);
              double sum = 0;
              for (std::int64_t c = 0; c < x[dim]; ++c) {
                index[dim] = c;
                const double share = (1 - label_smoothing) * in[1].at(index) +
                                     label_smoothing / static_cast<double>(x[dim]);
                sum -= in[2].at({c}) * share * log_probs.at(index);
              }
              return sum;
            });
            return reduced(losses, reduction, static_cast<double>(losses.values.size()));
          }};
}

}  // namespace

void add_loss_rows(std::vector<OpRow>& rows) {
  add_difference_losses(rows);
  add_probability_losses(rows);
  rows.push_back({"binary_cross_entropy_with_logits (weights)",
                  [](Chooser& choose) {
                    const std::int64_t classes = choose.between(1, 4);
                    return std::vector<Sample>{
                        weighted_logits_sample({3, classes}, {}, {classes}, LossReduction::mean),
                        weighted_logits_sample({3, classes}, {3, 1}, {}, LossReduction::none),
                        weighted_logits_sample({0, 2}, {2}, {2}, LossReduction::sum)};
                  },
                  [] {
                    return weighted_logits_sample({256, 4096}, {4096}, {4096}, LossReduction::mean);
                  }});
  for (const bool softmax : {false, true}) {
    rows.push_back({softmax ? "cross_entropy (of any shape, weighted)" : "nll_loss",
                    [=](Chooser& choose) { return label_samples(choose, softmax); },
                    [=] {
                      return label_sample({.x = {8, 21, 128, 128}, .softmax = softmax});
                    },
                    true});
  }
  rows.push_back({"cross_entropy (of probabilities)",
                  [](Chooser& choose) {
                    return std::vector<Sample>{
                        soft_target_sample({3}, LossReduction::mean, 0),
                        soft_target_sample({2, choose.between(1, 4)}, LossReduction::sum, 0.2),
                        soft_target_sample({2, 3, 4}, LossReduction::mean, choose.real(0, 1)),
                        soft_target_sample({0, 3}, LossReduction::none, 0)};
                  },
                  [] {
                    return soft_target_sample({8192, 1000}, LossReduction::mean, 0);
                  }});
}

}  // namespace minidl::test
