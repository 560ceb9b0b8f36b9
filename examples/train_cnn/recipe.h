// How train_cnn learns: optimizer and learning rate by their names.
#pragma once

#include <minidl/minidl.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "options.h"

std::vector<std::string> optimizer_names();
/// A learning rate that suits the optimizer, and whether the model is deep.
double default_lr(const std::string& optimizer, bool deep);
std::unique_ptr<minidl::optim::Optimizer> make_optimizer(const Options& options,
                                                         const minidl::StateDict& parameters);

/// What --scheduler takes: names, some joined by + (their product) or , (one after the other).
std::vector<std::string> scheduler_names();
/// What is wrong with --scheduler and the options that belong to it; empty if nothing is.
std::string check_schedule(const Options& options);

/// The learning rate from step to step.
class LearningRate {
 public:
  LearningRate(const Options& options, minidl::optim::Optimizer& optimizer,
               std::int64_t steps_per_epoch);

  void after_step() {
    if (scheduler_) scheduler_->step();
  }
  void after_epoch(double test_loss) {
    if (plateau_) plateau_->step(test_loss);
  }

 private:
  std::optional<minidl::optim::Scheduler> scheduler_;
  std::optional<minidl::optim::ReduceLROnPlateau> plateau_;
};
