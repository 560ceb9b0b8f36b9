// Mistakes in the input that only a kernel can see (a label that names no class): the kernel writes
// down what it found, and whoever next waits for the device throws an Error that says so. Not part
// of the public interface.
//
//     std::string explain(const ReportValues& values);           // on the host: the message
//     launch(config, my_kernel, ..., report_to(ctx, explain));
//     if (bad) report.write(row, label);                         // in one thread of the kernel
#pragma once

#include "minidl/kernels/common/exec_context.h"
#include "minidl/kernels/cuda/launch.cuh"
#include "minidl/kernels/cuda/runtime/reports.h"

namespace minidl::kernels::cuda {

/// A kernel's parameter. Of several reports between two waits, the first counts.
struct Report {
  ReportRecord* record;
  ExplainReport* explain;  ///< for the host; the kernel only passes it on

  /// By one thread of a launch.
  __device__ void write(const ReportValues& values) const {
    volatile ReportRecord& r = *record;
    if (r.explain != nullptr) return;
#pragma unroll
    for (int i = 0; i < kReportValues; ++i) r.values[i] = values[i];
    __threadfence_system();  // the values first: explain says that they are there
    r.explain = explain;
  }
  __device__ void write(std::int64_t v0, std::int64_t v1 = 0, std::int64_t v2 = 0,
                        std::int64_t v3 = 0) const {
    write(ReportValues{v0, v1, v2, v3});
  }
};

inline Report report_to(const ExecContext& ctx, ExplainReport* explain) {
  return {report_record(ctx.device.index), explain};
}

}  // namespace minidl::kernels::cuda
