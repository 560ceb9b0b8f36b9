// Trains a small convolutional network: on one process, or on several with
//
//     mpirun -np 2 build/examples/train_cnn --dataset fashion-mnist --data-dir data --epochs 5
//
// The interesting parts are `compute_gradients`, `train_epoch` and `train`; what comes before picks
// the parts by name.

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "options.h"
#include "recipe.h"
#include "step_profiler.h"

namespace dl = minidl;
using Clock = std::chrono::steady_clock;

namespace {

struct Images {
  dl::data::ImageDataset train;
  dl::data::ImageDataset test;
};

template <class Dataset>
Images open(const std::string& folder) {
  return {Dataset(folder, dl::data::Split::train), Dataset(folder, dl::data::Split::test)};
}

Images open_images(const Options& options) {
  Images images = [&]() -> Images {
    if (options.dataset == "fashion-mnist") return open<dl::data::FashionMnist>(options.data_dir);
    if (options.dataset == "mnist") return open<dl::data::Mnist>(options.data_dir);
    if (options.dataset == "cifar10") return open<dl::data::Cifar10>(options.data_dir);
    return {dl::data::Synthetic({.size = 10000, .split = dl::data::Split::train}),
            dl::data::Synthetic({.size = 2000, .split = dl::data::Split::test})};
  }();
  if (images.train.height() != images.test.height() ||
      images.train.width() != images.test.width()) {
    throw dl::Error(fmt::format("{}: training images are {}x{} but test images {}x{}",
                                options.data_dir, images.train.height(), images.train.width(),
                                images.test.height(), images.test.width()));
  }
  if (options.limit_train > 0) images.train = images.train.limit(options.limit_train);
  if (options.limit_test > 0) images.test = images.test.limit(options.limit_test);
  images.test = images.test.normalized(images.train.normalization());
  if (options.augmentation == "basic") {
    images.train = images.train.augmented(images.train.basic_augmentation());
  }
  return images;
}

std::unique_ptr<dl::nn::ModuleBase> make_model(const Options& options,
                                               const dl::data::ImageDataset& images) {
  return dl::nn::make_image_model(options.model, {.channels = images.channels(),
                                                  .height = images.height(),
                                                  .width = images.width(),
                                                  .classes = images.classes(),
                                                  .checkpointed = options.ckpt});
}

dl::Device choose_device(const Options& options, const dl::dist::Context& world) {
  if (options.device == "auto") return dl::Device::best(world.local_rank());
  if (options.device == "cuda") return dl::Device::cuda(world.local_rank());
  const dl::Device device = dl::Device::parse(options.device);
  dl::require_available(device);
  return device;
}

// Where training happens, and in which precision.
struct Place {
  dl::Device device;
  dl::DType dtype;
  dl::DType amp;  // what Autocast computes products in; f32 without it

  dl::data::Batch take(const dl::data::Batch& batch) const {
    return {batch.x.to(device).to(dtype), batch.y.to(device)};
  }
};

dl::DType autocast_dtype(const Options& options) {
  if (options.amp == "bf16") return dl::bf16;
  return options.amp == "fp16" ? dl::f16 : dl::f32;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

using Model = dl::dist::DataParallel<dl::nn::ModuleBase>;

// What every epoch works with.
struct Run {
  Model& model;
  dl::optim::Optimizer& optimizer;
  dl::GradScaler& scaler;  // does nothing but with f16
  LearningRate& learning_rate;
  dl::train::ExponentialMovingAverage* average;  // null without --ema
  StepProfiler& profiler;
  const Options& options;
  const Place& place;
  dl::dist::Context& world;
};

dl::train::MeterResult evaluate(const Run& run, dl::data::Loader& loader) {
  const dl::NoGradGuard no_grad;
  if (run.average != nullptr) run.average->swap();
  run.model.eval();
  dl::train::Meter meter;
  for (const dl::data::Batch& batch : loader.epoch(0)) {
    const auto [x, y] = run.place.take(batch);
    const dl::Autocast amp(run.place.amp);
    const dl::Tensor logits = run.model(x);
    meter.update(dl::cross_entropy(logits, y), logits, y);
  }
  run.model.train();
  if (run.average != nullptr) run.average->swap();
  return meter.result(run.world);
}

// The gradients of one batch.
void compute_gradients(const Run& run, const dl::data::Batch& batch, dl::train::Meter& meter) {
  const Options& options = run.options;
  run.optimizer.zero_grad();
  dl::dist::backward_in_parts(
      run.model, batch.y.size(0), options.accumulate, [&](std::int64_t begin, std::int64_t end) {
        const dl::Tensor y = batch.y.slice(0, begin, end);
        const dl::Autocast amp(run.place.amp);
        const dl::Tensor logits = run.model(batch.x.slice(0, begin, end));
        const dl::Tensor loss =
            dl::cross_entropy(logits, y, {.label_smoothing = *options.label_smoothing});
        meter.update(loss, logits, y);
        return run.scaler.scale(loss);
      });
  if (options.clip_grad_norm > 0) {
    run.scaler.unscale_(run.optimizer);
    dl::nn::clip_grad_norm_(run.model.parameters(), options.clip_grad_norm);
  }
}

// One pass over the training images.
dl::train::MeterResult train_epoch(const Run& run, dl::data::Loader& loader, std::int64_t epoch) {
  const auto start = Clock::now();
  dl::train::Meter meter;
  dl::ProgressBar bar(fmt::format("epoch {}/{}", epoch + 1, run.options.epochs), loader.batches(),
                      run.world.is_main());
  for (const dl::data::Batch& batch : loader.epoch(epoch)) {
    compute_gradients(run, run.place.take(batch), meter);
    run.scaler.step(run.optimizer);
    run.scaler.update();
    run.learning_rate.after_step();
    if (run.average != nullptr) run.average->update();
    run.profiler.step();
    std::string note;
    if (bar.due()) {
      const dl::train::MeterResult here = meter.result();
      note = fmt::format(
          "loss {:.4f}  accuracy {:.2f} %  {:.0f} images/s", here.loss, 100 * here.accuracy,
          static_cast<double>(here.samples * run.world.size()) / seconds_since(start));
    }
    bar.step(note);
  }
  bar.clear();
  return meter.result(run.world);
}

void print_start(const Options& options, const Images& images, const std::string& mode,
                 const Place& place, const dl::nn::ModuleBase& net,
                 const dl::dist::Context& world) {
  fmt::print("{} on {}, {}: {} parameters, {}; {}\n", options.model, dl::describe(place.device),
             mode, net.parameter_count(),
             place.amp == dl::f32 ? dl::name(place.dtype) : "mixed " + options.amp,
             world.describe());
  if (place.device.is_cuda() && !dl::why_not_cuda().empty()) {
    fmt::print("{}\n", dl::why_not_cuda());  // it is emulated
  }
  fmt::print("{}: {} training and {} test images; batches of {}, {} per rank\n", options.dataset,
             images.train.size(), images.test.size(), options.batch_size,
             (options.batch_size + world.size() - 1) / world.size());
  std::fflush(stdout);
}

std::int64_t peak_memory(const dl::Device& device, dl::Communicator& ranks) {
  const auto bytes = static_cast<double>(dl::memory_stats(device).total.peak);
  const dl::Tensor peak = dl::scalar(bytes, {.dtype = dl::i64});
  ranks.all_reduce(peak, dl::Reduction::max)->wait();
  return static_cast<std::int64_t>(peak.item());
}

void train(dl::dist::Context& world, Options options) {
  const auto start = Clock::now();
  const bool talks = world.is_main();
  const std::string mode =
      options.mode == "auto" ? (world.size() > 1 ? "ddp" : "single") : options.mode;
  if (mode == "single" && world.size() > 1) {
    throw dl::Error(fmt::format(
        "--mode single on {} ranks: start it without mpirun, or use --mode ddp", world.size()));
  }
  const Place place{choose_device(options, world), options.dtype == "f64" ? dl::f64 : dl::f32,
                    autocast_dtype(options)};
  options.device = dl::to_string(place.device);
  std::unique_ptr<dl::train::Artifacts> artifacts;  // of the main rank
  if (talks) artifacts = std::make_unique<dl::train::Artifacts>(options.artifacts);

  const Images images = open_images(options);
  dl::data::Loader train_loader(images.train,
                                {.global_batch = options.batch_size,
                                 .shuffle = true,
                                 .seed = options.seed,
                                 .workers = options.workers},
                                world);
  dl::data::Loader test_loader(
      images.test, {.global_batch = options.batch_size, .workers = options.workers}, world);

  dl::manual_seed(options.seed);  // equal weights everywhere …
  const auto net = make_model(options, images.train);
  net->to(place.dtype);
  net->to(place.device);
  Model model(*net, world);
  dl::manual_seed(options.seed + 1 + static_cast<std::uint64_t>(world.rank()));  // … not dropout
  const auto optimizer = make_optimizer(options, model.named_parameters());
  LearningRate learning_rate(options, *optimizer, train_loader.batches());
  std::unique_ptr<dl::train::ExponentialMovingAverage> average;
  if (options.ema > 0) {
    average = std::make_unique<dl::train::ExponentialMovingAverage>(
        *net, dl::train::EmaOptions{.decay = options.ema, .warmup = true, .buffers = true});
  }

  if (talks) {
    artifacts->begin(to_record(options));
    print_start(options, images, mode, place, *net, world);
  }
  StepProfiler profiler(talks ? options.profile : 0, options.artifacts + "/trace.json");
  const dl::DetectAnomaly detect(options.detect_anomaly);
  dl::GradScaler scaler({.enabled = place.amp == dl::f16}, &world.communicator());
  const Run run{model,    *optimizer, scaler, learning_rate, average.get(),
                profiler, options,    place,  world};
  dl::train::MeterResult test;
  double timed_seconds = 0;
  std::int64_t timed_images = 0;
  for (std::int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    const auto epoch_start = Clock::now();
    const dl::train::MeterResult trained = train_epoch(run, train_loader, epoch);
    const double epoch_seconds = seconds_since(epoch_start);
    if (epoch > 0 || options.epochs == 1) {  // the first of several warms up
      timed_seconds += epoch_seconds;
      timed_images += trained.samples;
    }
    test = evaluate(run, test_loader);
    learning_rate.after_epoch(test.loss);
    if (!talks) continue;
    const double rate = static_cast<double>(trained.samples) / epoch_seconds;
    fmt::print(
        "epoch {}: loss {:.4f}, accuracy {:.2f} %, {:.0f} images/s; test loss {:.4f}, accuracy "
        "{:.2f} %\n",
        epoch + 1, trained.loss, 100 * trained.accuracy, rate, test.loss, 100 * test.accuracy);
    std::fflush(stdout);
    artifacts->append_metrics({{"epoch", epoch + 1},
                               {"train_loss", trained.loss},
                               {"train_accuracy", trained.accuracy},
                               {"test_loss", test.loss},
                               {"test_accuracy", test.accuracy},
                               {"images_per_second", rate},
                               {"seconds", seconds_since(start)}});
  }

  const std::int64_t peak = peak_memory(place.device, world);
  if (average) average->swap();
  dl::save(model, options.artifacts + "/model.safetensors");
  if (!talks) return;
  artifacts->write("summary.json",
                   {{"test_accuracy", test.accuracy},
                    {"test_loss", test.loss},
                    {"images_per_second", static_cast<double>(timed_images) / timed_seconds},
                    {"world_size", static_cast<std::int64_t>(world.size())},
                    {"mode", mode},
                    {"device", options.device},
                    {"model", options.model},
                    {"dataset", options.dataset},
                    {"seed", static_cast<std::int64_t>(options.seed)},
                    {"parameters", net->parameter_count()},
                    {"peak_memory_bytes", peak},
                    {"wall_seconds", seconds_since(start)}});
  fmt::print("results are in {}\n", artifacts->folder());
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (const auto exit_code = parse(argc, argv, options)) return *exit_code;
  return dl::dist::run(argc, argv, [&](dl::dist::Context& world) { train(world, options); },
                       {.threads = options.threads});
}
