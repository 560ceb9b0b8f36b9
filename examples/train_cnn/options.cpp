#include "options.h"

#include <iostream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "recipe.h"

namespace dl = minidl;

namespace {

// Deeper networks fit small datasets too well.
void fill_in_recipe(Options& options) {
  const bool deep = options.model != "tiny_cnn";
  if (!options.lr) options.lr = default_lr(options.optimizer, deep);
  if (!options.label_smoothing) options.label_smoothing = deep ? 0.1 : 0;
}

// An empty text if the device can be named so; whether there is one is another matter.
std::string check_device(const std::string& text) {
  if (text == "auto") return {};
  try {
    dl::Device::parse(text);
    return {};
  } catch (const dl::Error& error) {
    return error.what();
  }
}

}  // namespace

std::optional<int> parse(int argc, char** argv, Options& options) {
  CLI::App app{
      "Trains a small convolutional network, on one process or, under mpirun -np N, on N.\n"
      "The artifacts folder holds metrics.jsonl, summary.json, config.json and "
      "model.safetensors.",
      "train_cnn"};
  app.option_defaults()->always_capture_default()->multi_option_policy(
      CLI::MultiOptionPolicy::TakeLast);
  // clang-format off
  app.add_option("--model", options.model, "Network")
      ->check(CLI::IsMember(dl::nn::image_model_names()));
  app.add_option("--dataset", options.dataset, "Images; synthetic ones need no files")
      ->check(CLI::IsMember({"synthetic", "fashion-mnist", "mnist", "cifar10"}));
  app.add_option("--data-dir", options.data_dir, "Folder with the dataset's files");
  app.add_option("--artifacts", options.artifacts, "Folder for results");
  app.add_option("--mode", options.mode, "auto trains on all ranks that mpirun started")
      ->check(CLI::IsMember({"auto", "single", "ddp"}));
  app.add_option("--device", options.device,
                 "auto takes a GPU if there is one; cuda shares the machine's among its ranks")
      ->check(CLI::Validator(check_device, "auto|cpu|cuda|cuda:N"));
  app.add_option("--dtype", options.dtype, "Of parameters and images")
      ->check(CLI::IsMember({"f32", "f64"}));
  auto* amp = app.add_option("--amp", options.amp,
                 "Mixed precision: products in 16 bits, parameters in f32; without a value bf16")
      ->expected(0, 1)->default_str("bf16")->check(CLI::IsMember({"bf16", "fp16", "off"}))
      ->type_name("[bf16|fp16]");
  app.add_flag_callback("--no-amp", [&options] { options.amp = "off"; },
                        "Compute in --dtype, which is the default")->excludes(amp);
  app.add_option("--epochs", options.epochs, "Passes over the training images")
      ->check(CLI::Range(1, 100000));
  app.add_option("--batch-size", options.batch_size, "Images per step, all ranks together")
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--accumulate", options.accumulate,
                 "Passes per step, each of a part of the batch: less memory, and the same step "
                 "but for batch norm and dropout")
      ->check(CLI::Range(1, 1 << 20));
  app.add_flag("--ckpt", options.ckpt,
               "Activation checkpointing: the model's blocks keep their inputs only and are "
               "computed twice");
  app.add_option("--lr", options.lr,
                 "Peak learning rate [sgd 0.1, for tiny_cnn 0.05; adam, adamw 0.001; lion 0.0001; "
                 "lars 0.1; lamb 0.002]");
  app.add_option("--optimizer", options.optimizer, "sgd has Nesterov momentum 0.9")
      ->check(CLI::IsMember(optimizer_names()));
  app.add_option("--clip-grad-norm", options.clip_grad_norm,
                 "Largest norm of all gradients together; 0 for no limit")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--ema", options.ema,
                 "Test and save the moving average of the model with this decay; 0 for none")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--scheduler", options.scheduler,
                 fmt::format("Learning rate over time: {}; a+b multiplies two, a,b has one after "
                             "the other", fmt::join(scheduler_names(), ", ")));
  app.add_option("--warmup-epochs", options.warmup_epochs,
                 "Rise to the peak before the schedule; onecycle's own share [a quarter]")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--warmup-factor", options.warmup_factor, "Of the peak, where the warm-up starts")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--switch-epochs", options.switch_epochs,
                 "Where each schedule of a,b,... but the first starts, as 2,5")->delimiter(',')
      ->take_all();
  app.add_option("--gamma", options.gamma,
                 "Factor of each step of step, multistep and plateau [0.1], and of each epoch of "
                 "exponential [0.9]");
  app.add_option("--step-epochs", options.step_epochs,
                 "step: epochs from one to the next [a third of all]")->check(CLI::PositiveNumber);
  app.add_option("--milestones", options.milestones,
                 "multistep: epochs, as 60,80 [half and three quarters of all]")->delimiter(',')
      ->take_all();
  app.add_option("--start-factor", options.start_factor, "linear: of the peak, at its start")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--end-factor", options.end_factor, "linear: of the peak, at its end")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--power", options.power, "polynomial: 1 is a line")->check(CLI::PositiveNumber);
  app.add_option("--patience", options.patience,
                 "plateau: epochs without a better test loss that are still borne")
      ->check(CLI::Range(0, 100000));
  app.add_option("--augmentation", options.augmentation, "basic crops, and flips where it may")
      ->check(CLI::IsMember({"none", "basic"}));
  app.add_option("--label-smoothing", options.label_smoothing, "0..1 [0.1, tiny_cnn 0]")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--weight-decay", options.weight_decay, "Of all parameters");
  app.add_option("--seed", options.seed, "Of weights, order, dropout and augmentation")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 53));
  app.add_option("--workers", options.workers, "Threads that prepare batches; 0 for none")
      ->check(CLI::Range(0, 256));
  app.add_option("--threads", options.threads, "Compute threads per rank; 0 shares the cores out")
      ->check(CLI::Range(0, 4096));
  app.add_option("--limit-train", options.limit_train, "Use this many training images; 0 for all")
      ->check(CLI::Range(0, 1 << 30));
  app.add_option("--limit-test", options.limit_test, "Use this many test images; 0 for all")
      ->check(CLI::Range(0, 1 << 30));
  app.add_option("--profile", options.profile,
                 "Show where the time of this many steps goes, and write trace.json")
      ->check(CLI::Range(0, 10000));
  app.add_flag("--detect-anomaly", options.detect_anomaly,
               "Stop where the first NaN appears, and say where that is; slow");
  // clang-format on
  try {
    app.parse(argc, argv);
    if (options.amp != "off" && options.dtype != "f32") {
      throw CLI::ValidationError("--amp keeps parameters in f32: it does not go with --dtype " +
                                 options.dtype);
    }
    const std::string problem = check_schedule(options);
    if (!problem.empty()) throw CLI::ValidationError(problem);
  } catch (const CLI::ParseError& error) {
    std::ostream silent(nullptr);
    const bool speaks = dl::dist::read_launch_env().rank == 0;
    return app.exit(error, speaks ? std::cout : silent, speaks ? std::cerr : silent);
  }
  fill_in_recipe(options);
  return std::nullopt;
}

dl::train::Record to_record(const Options& options) {
  const auto list = [](const std::vector<double>& numbers) {
    return fmt::format("{}", fmt::join(numbers, ","));
  };
  dl::train::Record record{{"model", options.model},
                           {"dataset", options.dataset},
                           {"data_dir", options.data_dir},
                           {"artifacts", options.artifacts},
                           {"mode", options.mode},
                           {"device", options.device},
                           {"dtype", options.dtype},
                           {"amp", options.amp},
                           {"epochs", options.epochs},
                           {"batch_size", options.batch_size},
                           {"lr", *options.lr},
                           {"optimizer", options.optimizer},
                           {"scheduler", options.scheduler},
                           {"warmup_epochs", options.warmup_epochs},
                           {"warmup_factor", options.warmup_factor},
                           {"switch_epochs", list(options.switch_epochs)},
                           {"milestones", list(options.milestones)},
                           {"start_factor", options.start_factor},
                           {"end_factor", options.end_factor},
                           {"power", options.power},
                           {"patience", options.patience},
                           {"accumulate", options.accumulate},
                           {"ckpt", options.ckpt},
                           {"clip_grad_norm", options.clip_grad_norm},
                           {"ema", options.ema},
                           {"augmentation", options.augmentation},
                           {"label_smoothing", *options.label_smoothing},
                           {"weight_decay", options.weight_decay},
                           {"seed", static_cast<std::int64_t>(options.seed)},
                           {"workers", static_cast<std::int64_t>(options.workers)},
                           {"threads", static_cast<std::int64_t>(options.threads)},
                           {"limit_train", options.limit_train},
                           {"limit_test", options.limit_test},
                           {"profile", options.profile},
                           {"detect_anomaly", options.detect_anomaly}};
  if (options.gamma) record.emplace_back("gamma", *options.gamma);
  if (options.step_epochs) record.emplace_back("step_epochs", *options.step_epochs);
  return record;
}
