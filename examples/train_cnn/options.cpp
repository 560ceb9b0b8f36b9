#include "options.h"

#include <iostream>

#include <CLI/CLI.hpp>

namespace dl = minidl;

namespace {

// Batch norm stands larger steps, and deeper networks fit small datasets too well.
void fill_in_recipe(Options& options) {
  const bool deep = options.model != "tiny_cnn";
  const double sgd_lr = deep ? 0.1 : 0.05;
  if (!options.lr) options.lr = options.optimizer == "adamw" ? 1e-3 : sgd_lr;
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
  app.add_option("--epochs", options.epochs, "Passes over the training images")
      ->check(CLI::Range(1, 100000));
  app.add_option("--batch-size", options.batch_size, "Images per step, all ranks together")
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--lr", options.lr, "Peak learning rate [sgd: 0.1, tiny_cnn 0.05; adamw: 0.001]");
  app.add_option("--optimizer", options.optimizer, "sgd has Nesterov momentum 0.9")
      ->check(CLI::IsMember({"sgd", "adamw"}));
  app.add_option("--scheduler", options.scheduler, "Learning rate over time")
      ->check(CLI::IsMember({"constant", "cosine", "onecycle"}));
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
  } catch (const CLI::ParseError& error) {
    std::ostream silent(nullptr);
    const bool speaks = dl::dist::read_launch_env().rank == 0;
    return app.exit(error, speaks ? std::cout : silent, speaks ? std::cerr : silent);
  }
  fill_in_recipe(options);
  return std::nullopt;
}

dl::train::Record to_record(const Options& options) {
  return {{"model", options.model},
          {"dataset", options.dataset},
          {"data_dir", options.data_dir},
          {"artifacts", options.artifacts},
          {"mode", options.mode},
          {"device", options.device},
          {"dtype", options.dtype},
          {"epochs", options.epochs},
          {"batch_size", options.batch_size},
          {"lr", *options.lr},
          {"optimizer", options.optimizer},
          {"scheduler", options.scheduler},
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
}
