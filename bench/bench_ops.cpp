// Times every row of the op table, forward and backward, on the CPU:
//
//     build/bench/bench_ops                 all of them
//     build/bench/bench_ops --only conv2d --only relu
//
// GB/s counts every operand and result once: what a memory-bound op has to move at least.

#include <minidl/minidl.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "bench/median.h"
#include "tests/ops/materialize.h"

namespace dl = minidl;
namespace {

using dl::test::OperandLayout;

double median_ms(const std::function<void()>& call, double budget_seconds) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> times;
  const auto start = Clock::now();
  call();  // warms caches and the allocator
  do {
    const auto begin = Clock::now();
    call();
    times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
  } while (times.size() < 5 ||
           std::chrono::duration<double>(Clock::now() - start).count() < budget_seconds);
  return dl::bench::median(std::move(times));
}

dl::Tensors make_operands(const dl::test::Sample& sample) {
  dl::Tensors operands;
  for (std::size_t i = 0; i < sample.inputs.size(); ++i) {
    const dl::test::Input& input = sample.inputs[i];
    dl::test::Chooser choose(i);
    operands.push_back(dl::test::make_operand(
        input, dl::test::draw_values(input, static_cast<int>(i), choose), dl::f32,
        input.shape.size() == 4 ? OperandLayout::channels_last : OperandLayout::contiguous));
    if (input.kind == dl::test::Input::Kind::real) operands.back().set_requires_grad();
  }
  return operands;
}

double megabytes(const dl::Tensors& operands, const dl::Tensor& output) {
  double bytes = 0;
  auto count = [&bytes](const dl::Tensor& tensor) {
    if (!tensor.defined()) return;
    bytes += static_cast<double>(tensor.numel()) * static_cast<double>(dl::size_of(tensor.dtype()));
  };
  for (const dl::Tensor& operand : operands) count(operand);
  count(output);
  return bytes / 1e6;
}

void bench(const dl::test::OpRow& row, double budget_seconds) {
  const dl::test::Sample sample = row.bench();
  const dl::Tensors operands = make_operands(sample);
  dl::Tensor output;
  const double forward = median_ms(
      [&] {
        const dl::NoGradGuard no_grad;
        output = sample.run(operands);
      },
      budget_seconds);
  const dl::Tensor grad = dl::full(output.shape(), 1);
  const double both = median_ms(
      [&] {
        for (const dl::Tensor& operand : operands) {
          if (operand.defined()) operand.zero_grad();
        }
        sample.run(operands).backward(grad);
      },
      budget_seconds);
  fmt::print("{:22} {:10.3f} {:10.3f} {:9.1f}   {}\n", row.name, forward, both,
             megabytes(operands, output) / forward, sample.label);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> only;
  double seconds = 0.3;
  int threads = 0;
  CLI::App app{"Times every op of the op table on the CPU in f32."};
  app.add_option("--only", only, "Names of ops to time; may be repeated");
  app.add_option("--seconds", seconds, "Time for each measurement")->capture_default_str();
  app.add_option("--threads", threads, "0 takes OpenMP's default")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  if (threads > 0) dl::set_num_threads(threads);

  fmt::print("{:22} {:>10} {:>10} {:>9}   {}\n", "op", "forward ms", "both ms", "fwd GB/s", "case");
  for (const dl::test::OpRow& row : dl::test::op_table()) {
    if (only.empty() || std::find(only.begin(), only.end(), row.name) != only.end()) {
      bench(row, seconds);
    }
  }
}
