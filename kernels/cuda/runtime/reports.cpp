#include "minidl/kernels/cuda/runtime/reports.h"

#include <cuda_runtime_api.h>

#include <atomic>
#include <cstddef>
#include <mutex>
#include <vector>

#include "minidl/kernels/common/cuda_support.h"
#include "minidl/kernels/common/error.h"
#include "minidl/kernels/cuda/runtime/check.h"
#include "minidl/kernels/cuda/runtime/discovery.h"

namespace minidl::kernels::cuda {
namespace {

/// By device index; null where no kernel has asked yet. Never freed: kernels may run until the end.
std::atomic<ReportRecord*>& record_of(int index) {
  static auto* records =
      new std::vector<std::atomic<ReportRecord*>>(static_cast<std::size_t>(device_count()));
  return (*records)[static_cast<std::size_t>(index)];
}

}  // namespace

ReportRecord* report_record(int index) {
  std::atomic<ReportRecord*>& slot = record_of(index);
  if (ReportRecord* record = slot.load(std::memory_order_acquire)) return record;
  static std::mutex mutex;
  const std::scoped_lock lock(mutex);
  if (slot.load() == nullptr) {
    make_current(index);
    void* memory = nullptr;
    check_cuda(cudaMallocHost(&memory, sizeof(ReportRecord)), "cudaMallocHost({} bytes)",
               sizeof(ReportRecord));
    slot.store(new (memory) ReportRecord{}, std::memory_order_release);
  }
  return slot.load();
}

void throw_reports(int index) {
  volatile ReportRecord* record = record_of(index).load(std::memory_order_acquire);
  if (record == nullptr) return;
  ExplainReport* explain = record->explain;
  if (explain == nullptr) return;
  std::atomic_thread_fence(std::memory_order_acquire);
  ReportValues values;
  for (int i = 0; i < kReportValues; ++i) values[i] = record->values[i];
  record->explain = nullptr;
  throw Error(explain(values));
}

}  // namespace minidl::kernels::cuda
