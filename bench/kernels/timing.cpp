#include "timing.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>

#include <fmt/format.h>

#include "bench/median.h"
#include "minidl/kernels/common/error.h"
#include "minidl/kernels/common/transfer.h"
#include "minidl/kernels/copy.h"

namespace minidl::bench {
namespace {

void check(cudaError_t status, const char* call) {
  if (status != cudaSuccess) throw Error(fmt::format("{}: {}", call, cudaGetErrorString(status)));
}

class Stopwatch {
 public:
  explicit Stopwatch(const ExecContext& ctx)
      : stream_(static_cast<cudaStream_t>(ctx.stream.native())) {
    check(cudaEventCreate(&start_), "cudaEventCreate");
    check(cudaEventCreate(&stop_), "cudaEventCreate");
  }
  ~Stopwatch() {
    cudaEventDestroy(start_);
    cudaEventDestroy(stop_);
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

  /// Microseconds on the device for one of `calls` calls.
  double time(std::size_t calls, std::size_t& turn, const std::function<void(std::size_t)>& work) {
    check(cudaEventRecord(start_, stream_), "cudaEventRecord");
    for (std::size_t i = 0; i < calls; ++i) work(turn++);
    check(cudaEventRecord(stop_, stream_), "cudaEventRecord");
    check(cudaEventSynchronize(stop_), "the kernels");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, start_, stop_), "cudaEventElapsedTime");
    return 1000.0 * milliseconds / static_cast<double>(calls);
  }

 private:
  cudaStream_t stream_;
  cudaEvent_t start_{}, stop_{};
};

const std::vector<float>& random_floats() {
  static const std::vector<float> values = [] {
    std::mt19937 engine(std::random_device{}());
    std::vector<float> numbers(std::size_t{1} << 22);
    for (float& x : numbers) {
      x = static_cast<float>(static_cast<std::int32_t>(engine())) * 0x1p-31F;
    }
    return numbers;
  }();
  return values;
}

std::size_t bytes_of(DType dtype, const Shape& shape) {
  return static_cast<std::size_t>(numel(shape)) * static_cast<std::size_t>(size_of(dtype));
}

kernels::View flat(void* data, DType dtype, std::int64_t count) {
  return {.data = data, .dtype = dtype, .shape = {count}, .strides = {1}, .defined = true};
}

}  // namespace

Timing time_on_gpu(const ExecContext& ctx, const std::function<void(std::size_t)>& work) {
  using Clock = std::chrono::steady_clock;
  Stopwatch watch(ctx);
  std::size_t turn = 0;
  double estimate = watch.time(1, turn, work);
  const auto start = Clock::now();
  while (std::chrono::duration<double>(Clock::now() - start).count() < 0.2) {
    estimate = watch.time(2, turn, work);
  }
  const auto calls =
      static_cast<std::size_t>(std::clamp(1000 / std::max(estimate, 1.0), 1.0, 64.0));
  std::vector<double> times;
  for (int i = 0; i < 21; ++i) times.push_back(watch.time(calls, turn, work));
  const auto [fastest, slowest] = std::minmax_element(times.begin(), times.end());
  return {.microseconds = median(times), .fastest = *fastest, .slowest = *slowest};
}

std::size_t buffer_sets(const Device& device, std::size_t bytes) {
  int cache = 0;
  check(cudaDeviceGetAttribute(&cache, cudaDevAttrL2CacheSize, device.index),
        "cudaDeviceGetAttribute");
  const std::size_t wanted = 4 * static_cast<std::size_t>(cache);
  return std::clamp<std::size_t>(wanted / std::max<std::size_t>(bytes, 1) + 1, 2, 64);
}

GpuTensor::GpuTensor(ExecContext& ctx, DType dtype, const Shape& shape)
    : buffer_(allocator(ctx.device), bytes_of(dtype, shape), MemoryTag::workspace),
      view_{.data = buffer_.data(),
            .dtype = dtype,
            .shape = shape,
            .strides = contiguous_strides(shape),
            .defined = true} {
  const std::vector<float>& values = random_floats();
  const Buffer staging(allocator(ctx.device), 4 * values.size(), MemoryTag::workspace);
  kernels::transfer(staging.data(), ctx.device, values.data(), cpu, 4 * values.size(), ctx.stream);
  const auto chunk = static_cast<std::int64_t>(values.size());
  for (std::int64_t at = 0; at < numel(shape); at += chunk) {
    const std::int64_t count = std::min(chunk, numel(shape) - at);
    kernels::copy(
        ctx, flat(staging.data(), f32, count),
        flat(buffer_.as<char>() + at * static_cast<std::int64_t>(size_of(dtype)), dtype, count));
  }
}

std::vector<double> GpuTensor::sample(ExecContext& ctx) const {
  constexpr std::int64_t kSamples = 4096;
  const std::int64_t count = numel(view_.shape), step = std::max<std::int64_t>(1, count / kSamples);
  const std::int64_t taken = (count + step - 1) / step;
  const Buffer picked(allocator(ctx.device), 8 * static_cast<std::size_t>(taken),
                      MemoryTag::workspace);
  kernels::View every = view_;
  every.shape = {taken};
  every.strides = {step};
  kernels::copy(ctx, every, flat(picked.data(), f64, taken));
  std::vector<double> values(static_cast<std::size_t>(taken));
  kernels::transfer(values.data(), cpu, picked.data(), ctx.device, picked.bytes(), ctx.stream);
  return values;
}

std::vector<GpuTensor> gpu_tensors(ExecContext& ctx, DType dtype, const Shape& shape,
                                   std::size_t count) {
  std::vector<GpuTensor> tensors;
  for (std::size_t i = 0; i < count; ++i) tensors.emplace_back(ctx, dtype, shape);
  return tensors;
}

}  // namespace minidl::bench
