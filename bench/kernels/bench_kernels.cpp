// Times our kernels on a GPU, matrix products beside cuBLASLt's:
//
//     build-cuda/bench/bench_kernels
//     build-cuda/bench/bench_kernels --only gemm --json kernels.json
//
// GB/s counts every operand and result once. Products are checked against cuBLASLt's while they are
// at it.

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cublas.h"
#include "minidl/kernels/common/cuda_support.h"
#include "minidl/kernels/common/error.h"
#include "minidl/kernels/copy.h"
#include "minidl/kernels/cuda/gemm/gemm.h"
#include "minidl/kernels/elementwise.h"
#include "minidl/kernels/reduce.h"
#include "minidl/kernels/softmax.h"
#include "timing.h"

namespace minidl::bench {
namespace {

namespace k = kernels;

struct Report {
  nlohmann::json rows = nlohmann::json::array();
  int failed = 0;  ///< kernels that gave an error or a wrong result

  void add(const std::string& name, const std::string& shape, const Timing& timing, double work,
           const char* unit, const std::string& note = "") {
    const double rate = work / timing.microseconds;
    fmt::print("{:24} {:28} {:10.1f} {:>9.1f} {:>9.1f} {:10.1f} {:8} {}\n", name, shape,
               timing.microseconds, timing.fastest, timing.slowest, rate, unit, note);
    rows.push_back({{"name", name},
                    {"shape", shape},
                    {"microseconds", timing.microseconds},
                    {"fastest", timing.fastest},
                    {"slowest", timing.slowest},
                    {"rate", rate},
                    {"unit", unit},
                    {"note", note}});
    std::fflush(stdout);
  }
  void missing(const std::string& name, const std::string& why) {
    fmt::print("{:24} -- {}\n", name, why);
    rows.push_back({{"name", name}, {"note", why}});
  }
  void fail(const std::string& name, const std::string& why) {
    missing(name, "FAILED: " + why);
    ++failed;
  }
};

// Runs one benchmark; an error ends only that one.
void attempt(Report& report, const std::string& name, const std::function<void()>& bench) {
  try {
    bench();
  } catch (const Error& error) {
    report.fail(name, error.what());
  }
}

double gigabytes(std::initializer_list<const k::View*> views) {
  double bytes = 0;
  for (const k::View* view : views) {
    bytes += static_cast<double>(view->numel()) * static_cast<double>(size_of(view->dtype));
  }
  return bytes / 1e3;  // over microseconds: GB/s
}

// Something that reads one tensor and writes another.
void bench_map(Report& report, ExecContext& ctx, const std::string& name, DType dtype,
               const Shape& in, const Shape& out,
               const std::function<void(const k::View&, const k::View&)>& run) {
  attempt(report, name, [&] {
    const std::size_t bytes = static_cast<std::size_t>(numel(in)) * size_of(dtype);
    const std::size_t sets = buffer_sets(ctx.device, bytes);
    const auto x = gpu_tensors(ctx, dtype, in, sets), y = gpu_tensors(ctx, dtype, out, sets);
    const Timing timing = time_on_gpu(
        ctx, [&](std::size_t turn) { run(x[turn % sets].view(), y[turn % sets].view()); });
    report.add(fmt::format("{} {}", name, minidl::name(dtype)), to_string(in), timing,
               gigabytes({&x[0].view(), &y[0].view()}), "GB/s");
  });
}

void bench_memory(Report& report, ExecContext& ctx) {
  const Shape large{std::int64_t{1} << 27}, matrix{8192, 8192}, wide{64, 1 << 20};
  bench_map(report, ctx, "cudaMemcpyAsync", f32, large, large,
            [&](const k::View& x, const k::View& y) {
              if (cudaMemcpyAsync(y.data, x.data, static_cast<std::size_t>(x.numel()) * 4,
                                  cudaMemcpyDeviceToDevice,
                                  static_cast<cudaStream_t>(ctx.stream.native())) != cudaSuccess) {
                throw Error("cudaMemcpyAsync failed");
              }
            });
  for (const DType dtype : {f32, bf16}) {
    bench_map(report, ctx, "copy", dtype, large, large,
              [&](const k::View& x, const k::View& y) { k::copy(ctx, x, y); });
  }
  bench_map(report, ctx, "copy, transposed", f32, matrix, matrix, [&](k::View x, const k::View& y) {
    std::swap(x.strides[0], x.strides[1]);
    k::copy(ctx, x, y);
  });
  bench_map(report, ctx, "relu", f32, large, large,
            [&](const k::View& x, const k::View& y) { k::unary(ctx, k::UnaryOp::relu, x, y); });
  bench_map(report, ctx, "gelu", f32, large, large,
            [&](const k::View& x, const k::View& y) { k::unary(ctx, k::UnaryOp::gelu, x, y); });
  bench_map(report, ctx, "x + x", f32, large, large,
            [&](const k::View& x, const k::View& y) { k::binary(ctx, k::BinaryOp::add, x, x, y); });
  bench_map(report, ctx, "sum of rows", f32, matrix, {8192, 1},
            [&](const k::View& x, const k::View& y) { k::reduce(ctx, k::ReduceOp::sum, x, y); });
  bench_map(report, ctx, "sum of columns", f32, matrix, {1, 8192},
            [&](const k::View& x, const k::View& y) { k::reduce(ctx, k::ReduceOp::sum, x, y); });
  bench_map(report, ctx, "sum of everything", f32, wide, {1, 1},
            [&](const k::View& x, const k::View& y) { k::reduce(ctx, k::ReduceOp::sum, x, y); });
  bench_map(report, ctx, "softmax of rows", f32, {32768, 1024}, {32768, 1024},
            [&](const k::View& x, const k::View& y) { k::softmax_forward(ctx, x, 1, false, y); });
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::fabs(a[i] - b[i]);
    if (!(difference <= largest)) largest = difference;  // keeps a NaN
  }
  return largest;
}

// One product by every tier that can, and by cuBLASLt.
void time_gemm(Report& report, ExecContext& ctx, DType dtype, std::int64_t m, std::int64_t n,
               std::int64_t depth) {
  const std::string shape = fmt::format("{} x {} x {}", m, n, depth);
  const std::size_t bytes =
      static_cast<std::size_t>(m * depth + depth * n + m * n) * size_of(dtype);
  const std::size_t sets = buffer_sets(ctx.device, bytes);
  const auto a = gpu_tensors(ctx, dtype, {m, depth}, sets);
  const auto b = gpu_tensors(ctx, dtype, {depth, n}, sets);
  const auto c = gpu_tensors(ctx, dtype, {m, n}, sets);
  const double work = 2e-6 * static_cast<double>(m) * static_cast<double>(n) *
                      static_cast<double>(depth);  // over microseconds: TFLOP/s
  const std::string suffix = fmt::format(" {}", name(dtype));

  double peer = 0;
  std::vector<double> expected;
  attempt(report, "gemm cuBLASLt" + suffix, [&] {
    if (const std::string why = why_no_cublas(); !why.empty()) {
      return report.missing("gemm cuBLASLt" + suffix, why);
    }
    CublasGemm cublas(ctx, dtype, m, n, depth, a[0].data(), b[0].data(), c[0].data());
    const Timing timing = time_on_gpu(ctx, [&](std::size_t turn) {
      const std::size_t i = turn % sets;
      cublas.run(a[i].data(), b[i].data(), c[i].data());
    });
    peer = timing.microseconds;
    cublas.run(a[0].data(), b[0].data(), c[0].data());
    expected = c[0].sample(ctx);
    report.add("gemm cuBLASLt" + suffix, shape, timing, work, "TFLOP/s");
  });
  for (const k::cuda::GemmTier tier : k::cuda::kGemmTiers) {
    const std::string title = fmt::format("gemm {}{}", k::cuda::name(tier), suffix);
    attempt(report, title, [&] {
      const auto gemm = [&](std::size_t i) {
        return k::cuda::Gemm{.dtype = dtype,
                             .batch = 1,
                             .m = m,
                             .n = n,
                             .k = depth,
                             .a = {a[i].data(), depth, 1, 0},
                             .b = {b[i].data(), n, 1, 0},
                             .bias = nullptr,
                             .bias_stride = 0,
                             .out = c[i].data()};
      };
      if (const std::string why = why_not(tier, ctx.device, gemm(0)); !why.empty()) {
        return report.missing(title, why);
      }
      const Timing timing =
          time_on_gpu(ctx, [&](std::size_t turn) { k::cuda::gemm(ctx, gemm(turn % sets), tier); });
      k::fill(ctx, c[0].view(), std::nan(""));  // old answers are not taken for ours
      k::cuda::gemm(ctx, gemm(0), tier);
      std::string note =
          peer > 0 ? fmt::format("{:.2f} of cuBLASLt", peer / timing.microseconds) : "";
      if (!expected.empty()) {
        const double difference = largest_difference(c[0].sample(ctx), expected);
        const double allowed = (dtype == f32 ? 1e-5 : 2e-2) * std::sqrt(static_cast<double>(depth));
        note += fmt::format(", off by {:.2g} at most", difference);
        if (!(difference <= allowed)) {
          note += ": WRONG";
          ++report.failed;
        }
      }
      report.add(title, shape, timing, work, "TFLOP/s", note);
    });
  }
}

void bench_gemm(Report& report, ExecContext& ctx, DType dtype, std::int64_t m, std::int64_t n,
                std::int64_t depth) {
  attempt(report, fmt::format("gemm {} {} x {} x {}", name(dtype), m, n, depth),
          [&] { time_gemm(report, ctx, dtype, m, n, depth); });
}

void bench_products(Report& report, ExecContext& ctx) {
  for (const std::int64_t size : {1024, 4096, 8192}) {
    bench_gemm(report, ctx, bf16, size, size, size);
  }
  bench_gemm(report, ctx, f16, 4096, 4096, 4096);
  bench_gemm(report, ctx, bf16, 256, 4096, 4096);
  bench_gemm(report, ctx, bf16, 8192, 512, 2048);
  bench_gemm(report, ctx, f32, 1024, 1024, 1024);
  bench_gemm(report, ctx, f32, 4096, 4096, 4096);
}

int run(int argc, char** argv) {
  std::string json;
  std::vector<std::string> only;
  CLI::App app{"Times our kernels on a GPU, matrix products beside cuBLASLt's."};
  app.add_option("--json", json, "Also write the rows to this file");
  app.add_option("--only", only, "memory or gemm; may be repeated")
      ->check(CLI::IsMember({"memory", "gemm"}));
  CLI11_PARSE(app, argc, argv);
  if (const std::string why = k::cuda::why_no_device(); !why.empty()) {
    fmt::print("no GPU: {}\n", why);
    return 3;
  }
  ExecContext ctx{.device = {DeviceType::cuda, 0}};
  Report report;
  const auto wanted = [&](const char* group) {
    return only.empty() || std::find(only.begin(), only.end(), group) != only.end();
  };
  fmt::print("{:24} {:28} {:>10} {:>9} {:>9} {:>10}\n", "kernel", "shape", "median us", "fastest",
             "slowest", "rate");
  if (wanted("memory")) bench_memory(report, ctx);
  if (wanted("gemm")) bench_products(report, ctx);
  if (!json.empty()) std::ofstream(json) << report.rows.dump(1) << '\n';
  if (report.failed > 0) fmt::print("{} failed\n", report.failed);
  return report.failed > 0 ? 1 : 0;
}

}  // namespace
}  // namespace minidl::bench

int main(int argc, char** argv) {
  try {
    return minidl::bench::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_kernels: {}\n", error.what());
    return 1;
  }
}
