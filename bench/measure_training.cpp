#include "bench/measure_training.h"

#include <chrono>
#include <cmath>
#include <optional>

#include "minidl/core/ops/softmax.h"
#include "minidl/core/random.h"
#include "minidl/dist/ddp.h"
#include "minidl/kernels/common/check.h"
#include "minidl/nn/data/loader.h"
#include "minidl/nn/data/synthetic.h"
#include "minidl/nn/models/image_model.h"
#include "minidl/nn/optim/sgd.h"

namespace minidl::bench {
namespace {

using Clock = std::chrono::steady_clock;
using Model = dist::DataParallel<nn::ModuleBase>;

double milliseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

// The batches of a loader, epoch after epoch without end.
class BatchStream {
 public:
  explicit BatchStream(const data::Loader& loader) : loader_(loader) {}

  data::Batch next() {
    if (left_ == 0) {
      epoch_.emplace(loader_.epoch(epochs_++));
      left_ = epoch_->size();
      at_.emplace(epoch_->begin());
    } else {
      ++*at_;
    }
    --left_;
    return **at_;
  }

 private:
  const data::Loader& loader_;
  std::optional<data::Epoch> epoch_;
  std::optional<data::Epoch::Iterator> at_;
  std::int64_t epochs_ = 0;
  std::int64_t left_ = 0;
};

data::Loader make_loader(const TrainingOptions& options, const Communicator& world) {
  constexpr std::int64_t kBatches = 8;  // some variety; drawing images takes time
  return data::Loader(data::Synthetic({.size = kBatches * options.batch_size}),
                      {.global_batch = options.batch_size,
                       .shuffle = true,
                       .drop_last = true,
                       .workers = options.workers},
                      world);
}

}  // namespace

TrainingMeasurement measure_training(const TrainingOptions& options, Communicator& world) {
  const data::Loader loader = make_loader(options, world);
  BatchStream batches(loader);
  manual_seed(0);
  const auto net = nn::make_image_model(options.model);
  net->to(options.device);
  Model model(*net, world);
  optim::SGD optimizer(model.parameters(),
                       {.lr = 0.01, .momentum = 0.9, .weight_decay = 5e-4, .nesterov = true});
  Clock::time_point last_gradient;  // these hooks run after those of `model`, which send it
  for (const Tensor& parameter : model.parameters()) {
    parameter.register_post_accumulate_grad_hook(
        [&last_gradient](const Tensor&) { last_gradient = Clock::now(); });
  }

  TrainingMeasurement result;
  result.parameters = net->parameter_count();
  std::vector<Clock::time_point> starts;
  const auto step = [&] {
    std::array<double, kPhases> times{};
    const auto start = Clock::now();
    starts.push_back(start);
    const data::Batch batch = batches.next();
    const Tensor x = batch.x.to(options.device);
    const Tensor y = batch.y.to(options.device);
    const auto loaded = Clock::now();
    const Tensor loss = cross_entropy(model(x), y, {.label_smoothing = 0.1});
    const auto computed = Clock::now();
    loss.backward();
    const auto differentiated = Clock::now();
    optimizer.step();
    optimizer.zero_grad();
    const auto updated = Clock::now();
    result.loss = loss.item();
    times[kData] = milliseconds(start, loaded);
    times[kForward] = milliseconds(loaded, computed);
    times[kBackward] = milliseconds(computed, differentiated);
    times[kCommunicationWait] = milliseconds(last_gradient, differentiated);
    times[kOptimizer] = milliseconds(differentiated, updated);
    result.steps.push_back(times);
  };

  for (int i = 0; i < options.warmup; ++i) step();
  world.barrier();
  allocator(options.device).reset_peaks();
  starts.clear();
  result.steps.clear();
  for (int i = 0; i < options.steps; ++i) step();
  starts.push_back(Clock::now());

  for (std::size_t i = 0; i < result.steps.size(); ++i) {
    std::array<double, kPhases>& times = result.steps[i];
    times[kStep] = milliseconds(starts[i], starts[i + 1]);
    times[kOther] =
        times[kStep] - times[kData] - times[kForward] - times[kBackward] - times[kOptimizer];
  }
  result.memory = memory_stats(options.device);
  check(std::isfinite(result.loss), "{}: the loss is {} after {} steps", options.model, result.loss,
        options.warmup + options.steps);
  return result;
}

}  // namespace minidl::bench
