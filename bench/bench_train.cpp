// Trains an image model for some steps and says how fast, where the time goes, and how near that
// comes to what the machine can do:
//
//     build/bench/bench_train --model resnet18_cifar --batch-size 64
//     mpirun -np 2 build/bench/bench_train --json result.json

#include <minidl/minidl.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "bench/flops.h"
#include "bench/measure_training.h"
#include "bench/median.h"

namespace dl = minidl;
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFigures =
    "All times are those of rank 0, medians over the steps after the warm-up.\n"
    "  images/s        batch size / median step\n"
    "  data            until the batch is there\n"
    "  forward         model and loss; with several ranks, the exchange of buffers too\n"
    "  backward        until all gradients are there, those of the other ranks included\n"
    "  waiting         of backward: from the last gradient of this rank to the end\n"
    "  optimizer       update and zero_grad\n"
    "  other           the rest of the step\n"
    "                  (on a GPU the other parts only queue their work, and the rest waits for "
    "it)\n"
    "  memory          bytes of tensors by use, of rank 0, at the end and at most in the steps\n"
    "  GFLOP/s         the multiply-adds, as two operations each, of convolutions and linear\n"
    "                  layers (forward, weight and input gradients, but not the first layer's\n"
    "                  input gradient) / median step, all ranks together\n"
    "  peak            the fastest of ten large f32 matrix products in this run, by all ranks at\n"
    "                  once with the same threads or devices";

struct Options {
  dl::bench::TrainingOptions training{.model = "tiny_cnn"};
  int threads = 0;
  std::int64_t peak_size = 2048;
  std::string device = "cpu";
  std::string json;
};

// What is printed and written.
struct Report {
  std::array<double, dl::bench::kPhases> median_ms{};
  double fastest_ms = 0;
  double slowest_ms = 0;
  double images_per_second = 0;
  double gflop_per_image = 0;
  double gflops = 0;
  double peak_gflops = 0;
  dl::bench::TrainingMeasurement measured;
};

std::vector<double> column(const dl::bench::TrainingMeasurement& measured, std::size_t phase) {
  std::vector<double> values;
  for (const auto& step : measured.steps) values.push_back(step[phase]);
  return values;
}

Report make_report(const Options& options, dl::Communicator& world) {
  Report report;
  report.gflop_per_image = dl::bench::training_flops_per_image(options.training.model) / 1e9;
  report.peak_gflops =
      dl::bench::measure_peak_flops(world, options.training.device, options.peak_size) / 1e9;
  report.measured = dl::bench::measure_training(options.training, world);
  for (std::size_t phase = 0; phase < dl::bench::kPhases; ++phase) {
    report.median_ms[phase] = dl::bench::median(column(report.measured, phase));
  }
  const std::vector<double> steps = column(report.measured, dl::bench::kStep);
  report.fastest_ms = *std::min_element(steps.begin(), steps.end());
  report.slowest_ms = *std::max_element(steps.begin(), steps.end());
  report.images_per_second =
      1e3 * static_cast<double>(options.training.batch_size) / report.median_ms[dl::bench::kStep];
  report.gflops = report.gflop_per_image * report.images_per_second;
  return report;
}

void print(const Options& options, const Report& report) {
  const auto& ms = report.median_ms;
  fmt::print("{:.1f} images/s: a step takes {:.1f} ms (median of {}, {:.1f} to {:.1f})\n\n",
             report.images_per_second, ms[dl::bench::kStep], report.measured.steps.size(),
             report.fastest_ms, report.slowest_ms);
  for (std::size_t phase = 0; phase < dl::bench::kStep; ++phase) {
    const bool part = phase == dl::bench::kCommunicationWait;
    fmt::print("{:18} {:10.2f} ms {:5.1f} %\n",
               part ? "  of it waiting" : dl::bench::kPhaseNames[phase], ms[phase],
               100 * ms[phase] / ms[dl::bench::kStep]);
  }
  fmt::print("\n{:18} {:>10} {:>10}\n", "memory, MB", "at the end", "peak");
  const auto line = [](const char* what, const dl::MemoryCounter& counter) {
    fmt::print("{:18} {:10.1f} {:10.1f}\n", what, static_cast<double>(counter.current) / 1e6,
               static_cast<double>(counter.peak) / 1e6);
  };
  for (std::size_t tag = 0; tag < dl::kMemoryTags; ++tag) {
    line(dl::name(static_cast<dl::MemoryTag>(tag)), report.measured.memory.by_tag[tag]);
  }
  line("total", report.measured.memory.total);
  fmt::print(
      "\n{:.3f} GFLOP per image: {:.1f} GFLOP/s, {:.1f} % of this machine's peak of {:.1f} (f32 "
      "matmul, {}x{})\n",
      report.gflop_per_image, report.gflops, 100 * report.gflops / report.peak_gflops,
      report.peak_gflops, options.peak_size, options.peak_size);
}

Json to_json(const dl::MemoryCounter& counter) {
  return {{"current", counter.current}, {"peak", counter.peak}};
}

Json to_json(const Options& options, const Report& report, const dl::Communicator& world) {
  Json phases = Json::object();
  for (std::size_t phase = 0; phase < dl::bench::kStep; ++phase) {
    phases[dl::bench::kPhaseNames[phase]] = report.median_ms[phase];
  }
  Json memory = Json::object();
  for (std::size_t tag = 0; tag < dl::kMemoryTags; ++tag) {
    memory[dl::name(static_cast<dl::MemoryTag>(tag))] = to_json(report.measured.memory.by_tag[tag]);
  }
  memory["total"] = to_json(report.measured.memory.total);
  return {{"framework", "minidl"},
          {"model", options.training.model},
          {"device", dl::describe(options.training.device)},
          {"parameters", report.measured.parameters},
          {"batch_size", options.training.batch_size},
          {"ranks", world.size()},
          {"threads", dl::num_threads()},
          {"warmup", options.training.warmup},
          {"steps", options.training.steps},
          {"images_per_second", report.images_per_second},
          {"step_ms",
           {{"median", report.median_ms[dl::bench::kStep]},
            {"min", report.fastest_ms},
            {"max", report.slowest_ms}}},
          {"phases_ms", phases},
          {"memory_bytes", memory},
          {"gflop_per_image", report.gflop_per_image},
          {"gflops", report.gflops},
          {"peak_gflops", report.peak_gflops},
          {"share_of_peak", report.gflops / report.peak_gflops},
          {"loss", report.measured.loss}};
}

void bench(dl::dist::Context& world, Options options) {
  options.training.device = options.device == "cuda" ? dl::Device::cuda(world.local_rank())
                                                     : dl::Device::parse(options.device);
  dl::require_available(options.training.device);
  std::optional<dl::AtomicFile> file;  // opened first: better no file than no result
  if (world.is_main() && !options.json.empty()) file.emplace(options.json);
  if (world.is_main()) {
    fmt::print("{} on {}, batches of {} images of 3x32x32, f32; {}\n", options.training.model,
               dl::describe(options.training.device), options.training.batch_size,
               world.describe());
    std::fflush(stdout);
  }
  const Report report = make_report(options, world);
  if (!world.is_main()) return;
  print(options, report);
  if (!file) return;
  file->write(to_json(options, report, world).dump(2) + "\n");
  file->commit();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  dl::bench::TrainingOptions& training = options.training;
  CLI::App app{
      "Trains an image model on synthetic images and measures it: on one process or, under mpirun "
      "-np N, on N."};
  app.option_defaults()->always_capture_default();
  app.footer(kFigures);
  app.add_option("--model", training.model, "Network")
      ->check(CLI::IsMember(dl::nn::image_model_names()));
  app.add_option("--batch-size", training.batch_size, "Images per step, all ranks together")
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--steps", training.steps, "Steps to measure")->check(CLI::Range(1, 1000000));
  app.add_option("--warmup", training.warmup, "Steps before these")->check(CLI::Range(0, 1000000));
  app.add_option("--threads", options.threads, "Compute threads per rank; 0 shares the cores out")
      ->check(CLI::Range(0, 4096));
  app.add_option("--workers", training.workers, "Threads besides, that prepare batches")
      ->check(CLI::Range(0, 256));
  app.add_option("--device", options.device, "cpu, cuda, or cuda:N; cuda shares GPUs among ranks");
  app.add_option("--peak-size", options.peak_size, "Rows and columns of the peak's matrices")
      ->check(CLI::Range(1, 1 << 16));
  app.add_option("--json", options.json, "Write the figures to this file");
  CLI11_PARSE(app, argc, argv);
  return dl::dist::run(argc, argv, [&](dl::dist::Context& world) { bench(world, options); },
                       {.threads = options.threads});
}
