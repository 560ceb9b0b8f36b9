// The command line of train_cnn.
#pragma once

#include <minidl/minidl.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

struct Options {
  std::string model = "tiny_cnn";
  std::string dataset = "synthetic";
  std::string data_dir = "data";
  std::string artifacts = "artifacts";
  std::string mode = "auto";
  std::string device = "auto";
  std::string dtype = "f32";
  std::string amp = "off";
  std::int64_t epochs = 3;
  std::int64_t batch_size = 128;
  std::optional<double> lr;               // parse() fills these two in: what suits the model
  std::optional<double> label_smoothing;  // and the optimizer, unless they were given
  std::string optimizer = "sgd";
  std::string scheduler = "onecycle";
  double warmup_epochs = 0;
  double warmup_factor = 0.01;
  std::vector<double> switch_epochs;
  std::optional<double> gamma;
  std::optional<double> step_epochs;
  std::vector<double> milestones;
  double start_factor = 1;
  double end_factor = 0.01;
  double power = 1;
  std::int64_t patience = 2;
  std::string augmentation = "none";
  double weight_decay = 5e-4;
  double clip_grad_norm = 0;
  double ema = 0;
  std::int64_t accumulate = 1;
  bool ckpt = false;
  std::uint64_t seed = 0;
  int workers = 2;
  int threads = 0;
  std::int64_t limit_train = 0;
  std::int64_t limit_test = 0;
  std::int64_t profile = 0;
  bool detect_anomaly = false;
};

/// Reads the command line into `options`. An exit code if the program is to end here: after --help,
/// or with a message if something is wrong. Only the first rank of a job prints.
std::optional<int> parse(int argc, char** argv, Options& options);

/// Every setting, with the values in use.
minidl::train::Record to_record(const Options& options);
