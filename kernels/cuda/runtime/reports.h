// Where kernels write down mistakes in their input; kernels/cuda/report.cuh is how. Not part of the
// public interface.
#pragma once

#include <cstdint>
#include <string>

namespace minidl::kernels::cuda {

inline constexpr int kReportValues = 12;  // a few, and a shape
using ReportValues = std::int64_t[kReportValues];
using ExplainReport = std::string(const ReportValues& values);

struct ReportRecord {
  ReportValues values;
  ExplainReport* explain;  ///< null while there is nothing to report
};

/// The record of GPU `index`, in pinned memory: kernels write it, the host reads it.
ReportRecord* report_record(int index);

/// Throws Error if a kernel of GPU `index` that is known to have ended has written a report, and
/// forgets it. Called wherever the host has waited for the device.
void throw_reports(int index);

}  // namespace minidl::kernels::cuda
