// Trains a small convolutional network: on one process, or on several with
//
//     mpirun -np 2 build/examples/train_cnn --dataset fashion-mnist --data-dir data --epochs 5
//
// The interesting parts are `train_epoch` and `train`; what comes before picks the parts by name.

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "options.h"
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
                                                  .classes = images.classes()});
}

std::unique_ptr<dl::optim::Optimizer> make_optimizer(const Options& options,
                                                     const dl::Tensors& parameters) {
  const double lr = *options.lr;
  const double decay = options.weight_decay;
  if (options.optimizer == "adamw") {
    return std::make_unique<dl::optim::AdamW>(
        parameters, dl::optim::AdamWOptions{.lr = lr, .weight_decay = decay});
  }
  return std::make_unique<dl::optim::SGD>(
      parameters,
      dl::optim::SGDOptions{.lr = lr, .momentum = 0.9, .weight_decay = decay, .nesterov = true});
}

dl::optim::Schedule make_schedule(const Options& options, std::int64_t steps) {
  if (options.scheduler == "cosine") return dl::optim::cosine_schedule(steps);
  if (options.scheduler == "onecycle") return dl::optim::one_cycle_schedule(steps);
  return dl::optim::constant_schedule();
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

  dl::data::Batch take(const dl::data::Batch& batch) const {
    return {batch.x.to(device).to(dtype), batch.y.to(device)};
  }
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

using Model = dl::dist::DataParallel<dl::nn::ModuleBase>;

// What every epoch works with.
struct Run {
  Model& model;
  dl::optim::Optimizer& optimizer;
  dl::optim::Scheduler& scheduler;
  StepProfiler& profiler;
  const Options& options;
  const Place& place;
  dl::dist::Context& world;
};

dl::train::MeterResult evaluate(Model& model, dl::data::Loader& loader, const Place& place,
                                dl::Communicator& ranks) {
  const dl::NoGradGuard no_grad;
  model.eval();
  dl::train::Meter meter;
  for (const dl::data::Batch& batch : loader.epoch(0)) {
    const auto [x, y] = place.take(batch);
    const dl::Tensor logits = model(x);
    meter.update(dl::cross_entropy(logits, y), logits, y);
  }
  model.train();
  return meter.result(ranks);
}

// One pass over the training images.
dl::train::MeterResult train_epoch(const Run& run, dl::data::Loader& loader, std::int64_t epoch) {
  const auto& [model, optimizer, scheduler, profiler, options, place, world] = run;
  const auto start = Clock::now();
  dl::train::Meter meter;
  dl::ProgressBar bar(fmt::format("epoch {}/{}", epoch + 1, options.epochs), loader.batches(),
                      world.is_main());
  for (const dl::data::Batch& batch : loader.epoch(epoch)) {
    const auto [x, y] = place.take(batch);
    optimizer.zero_grad();
    const dl::Tensor logits = model(x);
    const dl::Tensor loss =
        dl::cross_entropy(logits, y, {.label_smoothing = *options.label_smoothing});
    loss.backward();
    optimizer.step();
    scheduler.step();
    meter.update(loss, logits, y);
    profiler.step();
    std::string note;
    if (bar.due()) {
      const dl::train::MeterResult here = meter.result();
      note = fmt::format("loss {:.4f}  accuracy {:.2f} %  {:.0f} images/s", here.loss,
                         100 * here.accuracy,
                         static_cast<double>(here.samples * world.size()) / seconds_since(start));
    }
    bar.step(note);
  }
  bar.clear();
  return meter.result(world);
}

void print_start(const Options& options, const Images& images, const std::string& mode,
                 const Place& place, const dl::nn::ModuleBase& net,
                 const dl::dist::Context& world) {
  fmt::print("{} on {}, {}: {} parameters, {}; {}\n", options.model, dl::describe(place.device),
             mode, net.parameter_count(), dl::name(place.dtype), world.describe());
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
  const Place place{choose_device(options, world), options.dtype == "f64" ? dl::f64 : dl::f32};
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
  const auto optimizer = make_optimizer(options, model.parameters());
  const std::int64_t steps = options.epochs * train_loader.batches();
  dl::optim::Scheduler scheduler(*optimizer, make_schedule(options, steps));

  if (talks) {
    artifacts->begin(to_record(options));
    print_start(options, images, mode, place, *net, world);
  }
  StepProfiler profiler(talks ? options.profile : 0, options.artifacts + "/trace.json");
  const dl::DetectAnomaly detect(options.detect_anomaly);
  const Run run{model, *optimizer, scheduler, profiler, options, place, world};
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
    test = evaluate(model, test_loader, place, world);
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
