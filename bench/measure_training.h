// Training steps with a watch on them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "minidl/core/communicator.h"
#include "minidl/kernels/common/allocator.h"

namespace minidl::bench {

/// Where a step's time goes. On a GPU forward, backward and optimizer queue work, and the rest of
/// the step waits for it.
enum Phase : std::size_t {
  kData,               ///< until the batch is there
  kForward,            ///< the model and the loss; with several ranks the exchange of buffers too
  kBackward,           ///< until the gradients are there, those of the other ranks included
  kCommunicationWait,  ///< of backward: what is left of it after the last gradient of this rank
  kOptimizer,          ///< the update, and zero_grad
  kOther,              ///< what is left of the step: freeing, and the loop itself
  kStep,               ///< all of it: from the start of a step to the start of the next
  kPhases
};
inline constexpr std::array<const char*, kPhases> kPhaseNames{
    "data", "forward", "backward", "communication_wait", "optimizer", "other", "step"};

struct TrainingOptions {
  std::string model;
  std::int64_t batch_size = 128;  ///< over all ranks
  int steps = 20;
  int warmup = 3;
  int workers = 0;  ///< of the loader
  Device device = cpu;
};

/// What one rank saw.
struct TrainingMeasurement {
  std::vector<std::array<double, kPhases>> steps;  ///< milliseconds of every step
  MemoryStats memory;                              ///< at the end; the peaks are those of the steps
  std::int64_t parameters = 0;
  double loss = 0;  ///< of the last step, on this rank
};

/// Trains on synthetic images of 3x32x32 in 10 classes with SGD, Nesterov momentum and label
/// smoothing 0.1. All ranks of `world` take part. Throws Error if the loss is no number.
TrainingMeasurement measure_training(const TrainingOptions& options, Communicator& world);

}  // namespace minidl::bench
