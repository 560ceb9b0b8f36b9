#include "bench/flops.h"

#include <algorithm>
#include <chrono>

#include "minidl/core/grad_mode.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/nn/models/image_model.h"
#include "minidl/nn/modules/conv.h"
#include "minidl/nn/modules/linear.h"

namespace minidl::bench {
namespace {

// Of a convolution or linear layer; null for others.
const Tensor* weight_of(const nn::ModuleBase& module) {
  if (const auto* conv = dynamic_cast<const nn::Conv2d*>(&module)) return &conv->weight;
  if (const auto* linear = dynamic_cast<const nn::Linear*>(&module)) return &linear->weight;
  return nullptr;
}

}  // namespace

double training_flops_per_image(const std::string& model) {
  double multiply_adds = 0;
  const auto net = nn::make_image_model(model);  // its hooks end with it
  for (const auto& [path, module] : net->named_modules()) {
    const Tensor* weight = weight_of(*module);
    if (weight == nullptr) continue;
    module->register_forward_hook([&multiply_adds, per_output = weight->numel() / weight->size(0)](
                                      nn::ModuleBase&, const Tensors& in, const Tensors& out) {
      const int passes = in.at(0).requires_grad() ? 3 : 2;
      multiply_adds += static_cast<double>(passes * out.at(0).numel() * per_output);
    });
  }
  net->eval();  // batch norm could not train on one image
  net->call(zeros({1, 3, 32, 32}));
  return 2 * multiply_adds;
}

double measure_peak_flops(Communicator& world, const Device& device, std::int64_t size) {
  using Clock = std::chrono::steady_clock;
  constexpr int kRepeats = 10;
  const NoGradGuard no_grad;
  const Tensor a = randn({size, size}, {.device = device});
  const Tensor b = randn({size, size}, {.device = device});
  matmul(a, b);  // warms up
  double fastest = 0;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    current_stream(device).synchronize();
    world.barrier();
    const auto start = Clock::now();
    matmul(a, b);
    current_stream(device).synchronize();
    const double own = std::chrono::duration<double>(Clock::now() - start).count();
    const Tensor slowest_rank = scalar(own, {.dtype = f64});
    world.all_reduce(slowest_rank, Reduction::max)->wait();
    const double seconds = slowest_rank.item();
    fastest = repeat == 0 ? seconds : std::min(fastest, seconds);
  }
  const auto n = static_cast<double>(size);
  return 2 * n * n * n * world.size() / fastest;
}

}  // namespace minidl::bench
