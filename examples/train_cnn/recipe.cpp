#include "recipe.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

namespace dl = minidl;
namespace optim = minidl::optim;

namespace {

using OptimizerPtr = std::unique_ptr<optim::Optimizer>;
using Schedules = std::vector<std::vector<std::string>>;  // one after the other, of factors

struct NamedOptimizer {
  const char* name;
  double lr;
  OptimizerPtr (*make)(const Options& options, const dl::StateDict& parameters);
};

template <class O, class OptimizerOptions>
OptimizerPtr make_adam(const Options& options, const dl::StateDict& parameters) {
  OptimizerOptions given;
  given.lr = *options.lr;
  given.weight_decay = options.weight_decay;
  return std::make_unique<O>(parameters, given);
}

// Biases and the parameters of norms get neither the layer-wise rate nor the decay.
template <class O, class OptimizerOptions>
OptimizerPtr make_layerwise(OptimizerOptions given, const dl::StateDict& parameters) {
  dl::StateDict weights;
  dl::StateDict others;
  for (const dl::NamedTensor& parameter : parameters) {
    (parameter.tensor.dim() > 1 ? weights : others).push_back(parameter);
  }
  auto optimizer = std::make_unique<O>(weights, given);
  given.adapt = false;
  given.weight_decay = 0;
  if (!others.empty()) optimizer->add_group(others, given);
  return optimizer;
}

OptimizerPtr make_sgd(const Options& options, const dl::StateDict& parameters) {
  return std::make_unique<optim::SGD>(parameters,
                                      optim::SGDOptions{.lr = *options.lr,
                                                        .momentum = 0.9,
                                                        .weight_decay = options.weight_decay,
                                                        .nesterov = true});
}

OptimizerPtr make_lars(const Options& options, const dl::StateDict& parameters) {
  return make_layerwise<optim::LARS>(
      optim::LARSOptions{
          .lr = *options.lr, .weight_decay = options.weight_decay, .trust_coefficient = 0.02},
      parameters);
}

OptimizerPtr make_lamb(const Options& options, const dl::StateDict& parameters) {
  return make_layerwise<optim::LAMB>(
      optim::LAMBOptions{.lr = *options.lr, .weight_decay = options.weight_decay}, parameters);
}

constexpr std::array<NamedOptimizer, 6> kOptimizers{
    {{"sgd", 0.1, make_sgd},
     {"adam", 1e-3, make_adam<optim::Adam, optim::AdamOptions>},
     {"adamw", 1e-3, make_adam<optim::AdamW, optim::AdamWOptions>},
     {"lion", 1e-4, make_adam<optim::Lion, optim::LionOptions>},
     {"lars", 0.1, make_lars},
     {"lamb", 2e-3, make_lamb}}};

const NamedOptimizer& find_optimizer(const std::string& name) {
  return *std::find_if(kOptimizers.begin(), kOptimizers.end(),
                       [&name](const NamedOptimizer& entry) { return name == entry.name; });
}

std::int64_t steps_of(double epochs, std::int64_t steps_per_epoch) {
  return std::llround(epochs * static_cast<double>(steps_per_epoch));
}

std::int64_t at_least_one(std::int64_t steps) {
  return std::max<std::int64_t>(steps, 1);
}

// `steps` long; the epochs in the options count from its own start.
struct Span {
  const Options& options;
  std::int64_t steps;
  std::int64_t steps_per_epoch;

  double epochs() const {
    return static_cast<double>(steps) / static_cast<double>(steps_per_epoch);
  }
};

optim::Schedule make_step(const Span& span) {
  const double epochs = span.options.step_epochs.value_or(span.epochs() / 3);
  return optim::step_schedule(at_least_one(steps_of(epochs, span.steps_per_epoch)),
                              span.options.gamma.value_or(0.1));
}

optim::Schedule make_multi_step(const Span& span) {
  std::vector<double> epochs = span.options.milestones;
  if (epochs.empty()) epochs = {span.epochs() / 2, span.epochs() * 3 / 4};
  std::vector<std::int64_t> milestones;
  for (const double epoch : epochs) milestones.push_back(steps_of(epoch, span.steps_per_epoch));
  return optim::multi_step_schedule(milestones, span.options.gamma.value_or(0.1));
}

optim::Schedule make_exponential(const Span& span) {
  const double gamma = span.options.gamma.value_or(0.9);
  return optim::exponential_schedule(
      std::pow(gamma, 1 / static_cast<double>(span.steps_per_epoch)));
}

optim::Schedule make_linear(const Span& span) {
  return optim::linear_schedule(span.steps, span.options.start_factor, span.options.end_factor);
}

optim::Schedule make_polynomial(const Span& span) {
  return optim::polynomial_schedule(span.steps, span.options.power);
}

optim::Schedule make_one_cycle(const Span& span) {
  optim::OneCycleOptions options;
  // With it as the only schedule the warm-up is its own.
  if (span.options.scheduler == "onecycle" && span.options.warmup_epochs > 0) {
    options.warmup = span.options.warmup_epochs / span.epochs();
  }
  return optim::one_cycle_schedule(span.steps, options);
}

struct NamedSchedule {
  const char* name;
  optim::Schedule (*make)(const Span& span);
};

constexpr const char* kPlateau = "plateau";
constexpr std::array<NamedSchedule, 8> kSchedules{
    {{"constant", [](const Span&) { return optim::constant_schedule(); }},
     {"step", make_step},
     {"multistep", make_multi_step},
     {"exponential", make_exponential},
     {"linear", make_linear},
     {"polynomial", make_polynomial},
     {"cosine", [](const Span& span) { return optim::cosine_schedule(span.steps); }},
     {"onecycle", make_one_cycle}}};

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts{""};
  for (const char letter : text) {
    if (letter == separator) {
      parts.emplace_back();
    } else {
      parts.back() += letter;
    }
  }
  return parts;
}

Schedules parse(const std::string& text) {
  Schedules schedules;
  for (const std::string& stage : split(text, ',')) schedules.push_back(split(stage, '+'));
  return schedules;
}

optim::Schedule make_product(const std::vector<std::string>& names, const Span& span) {
  std::vector<optim::Schedule> factors;
  for (const std::string& name : names) {
    const auto* found =
        std::find_if(kSchedules.begin(), kSchedules.end(),
                     [&name](const NamedSchedule& entry) { return name == entry.name; });
    factors.push_back(found->make(span));
  }
  return optim::chained_schedule(factors);
}

optim::Schedule make_schedule(const Options& options, std::int64_t steps_per_epoch) {
  const Schedules stages = parse(options.scheduler);
  const std::int64_t total = at_least_one(options.epochs * steps_per_epoch);
  const bool warms_up = options.warmup_epochs > 0 && options.scheduler != "onecycle";
  std::vector<std::int64_t> starts;  // of all but the first
  std::vector<optim::Schedule> schedules;
  std::int64_t begin = 0;
  if (warms_up) {
    begin = std::min(at_least_one(steps_of(options.warmup_epochs, steps_per_epoch)), total);
    schedules.push_back(optim::linear_schedule(begin, options.warmup_factor));
    starts.push_back(begin);
  }
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const std::int64_t end = i < options.switch_epochs.size()
                                 ? steps_of(options.switch_epochs[i], steps_per_epoch)
                                 : total;
    schedules.push_back(make_product(
        stages[i], {options, at_least_one(end - begin), at_least_one(steps_per_epoch)}));
    begin = end;
    if (i + 1 < stages.size()) starts.push_back(end);
  }
  return optim::sequential_schedule(schedules, starts);
}

// Whether these epochs ascend from `begin` and end before the training does.
bool ascend(const std::vector<double>& epochs, double begin, std::int64_t end) {
  for (const double epoch : epochs) {
    if (!(epoch > begin && epoch < static_cast<double>(end))) return false;
    begin = epoch;
  }
  return true;
}

}  // namespace

std::vector<std::string> optimizer_names() {
  std::vector<std::string> names;
  for (const NamedOptimizer& entry : kOptimizers) names.emplace_back(entry.name);
  return names;
}

double default_lr(const std::string& optimizer, bool deep) {
  // Batch norm stands larger steps.
  return optimizer == "sgd" && !deep ? 0.05 : find_optimizer(optimizer).lr;
}

OptimizerPtr make_optimizer(const Options& options, const dl::StateDict& parameters) {
  return find_optimizer(options.optimizer).make(options, parameters);
}

std::vector<std::string> scheduler_names() {
  std::vector<std::string> names;
  for (const NamedSchedule& entry : kSchedules) names.emplace_back(entry.name);
  names.emplace_back(kPlateau);
  return names;
}

std::string check_schedule(const Options& options) {
  const Schedules stages = parse(options.scheduler);
  const std::vector<std::string> known = scheduler_names();
  const bool alone = stages.size() == 1 && stages[0].size() == 1;
  for (const std::vector<std::string>& stage : stages) {
    for (const std::string& name : stage) {
      if (std::find(known.begin(), known.end(), name) == known.end()) {
        return fmt::format("--scheduler: there is no '{}'; the known ones are {}", name,
                           fmt::join(known, ", "));
      }
      if (name == kPlateau && (!alone || options.warmup_epochs > 0)) {
        return "--scheduler: plateau goes by the test loss and not with other schedules or "
               "--warmup-epochs";
      }
    }
  }
  if (!(options.warmup_epochs < static_cast<double>(options.epochs))) {
    return fmt::format("--warmup-epochs {}: the training has {} epochs", options.warmup_epochs,
                       options.epochs);
  }
  if (options.switch_epochs.size() + 1 != stages.size()) {
    return fmt::format("--switch-epochs: {} schedules, one after the other, need {}, not {}",
                       stages.size(), stages.size() - 1, options.switch_epochs.size());
  }
  if (!ascend(options.switch_epochs, options.warmup_epochs, options.epochs)) {
    return fmt::format(
        "--switch-epochs {}: they must ascend, after the warm-up of {} and before the end at {}",
        fmt::join(options.switch_epochs, ","), options.warmup_epochs, options.epochs);
  }
  if (!ascend(options.milestones, 0, options.epochs)) {
    return fmt::format("--milestones {}: they must ascend, above 0 and below the {} epochs",
                       fmt::join(options.milestones, ","), options.epochs);
  }
  const double gamma = options.gamma.value_or(0.1);
  if (!(gamma > 0 && gamma < 1)) {
    return fmt::format("--gamma {}: it must be above 0 and below 1", gamma);
  }
  return "";
}

LearningRate::LearningRate(const Options& options, optim::Optimizer& optimizer,
                           std::int64_t steps_per_epoch) {
  if (options.scheduler == kPlateau) {
    plateau_.emplace(optimizer, optim::PlateauOptions{.factor = options.gamma.value_or(0.1),
                                                      .patience = options.patience});
  } else {
    scheduler_.emplace(optimizer, make_schedule(options, steps_per_epoch));
  }
}
