// Stream and Event as CUDA has them.

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <mutex>
#include <vector>

#include "minidl/kernels/common/cuda_support.h"
#include "minidl/kernels/common/stream_backend.h"
#include "minidl/kernels/cuda/runtime/check.h"
#include "minidl/kernels/cuda/runtime/reports.h"

#ifdef MINIDL_EMULATED
namespace emu {
bool drain_some();  // tests/emu/runtime/runtime.h
}
#endif

namespace minidl::kernels::cuda {
namespace {

class CudaEvent final : public EventBackend {
 public:
  CudaEvent(int device, cudaStream_t stream) : device_(device) {
    check_cuda(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming),
               "cudaEventCreateWithFlags(cudaEventDisableTiming)");
    const cudaError_t status = cudaEventRecord(event_, stream);
    if (status == cudaSuccess) return;
    cudaEventDestroy(event_);
    check_cuda(status, "cudaEventRecord(stream {})", static_cast<void*>(stream));
  }
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;
  // The result is of no use here: at exit, the driver may have gone before us.
  ~CudaEvent() override { cudaEventDestroy(event_); }

  bool done() override {
    const cudaError_t status = cudaEventQuery(event_);
    if (status == cudaErrorNotReady) {
      cudaGetLastError();
      return false;
    }
    check_cuda(status, "cudaEventQuery");
    return true;
  }
  void synchronize() override {
    check_cuda(cudaEventSynchronize(event_), "cudaEventSynchronize");
    throw_reports(device_);
  }

  cudaEvent_t get() const { return event_; }

 private:
  int device_;
  cudaEvent_t event_ = nullptr;
};

class CudaStream final : public StreamBackend {
 public:
  CudaStream(int device, cudaStream_t stream, bool owned)
      : device_(device), stream_(stream), owned_(owned) {}
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;
  ~CudaStream() override {
    if (owned_) cudaStreamDestroy(stream_);
  }

  void* native() const override { return stream_; }
  void synchronize() override {
    check_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize(stream {})", native());
    throw_reports(device_);
  }
  bool done() override {
    const cudaError_t status = cudaStreamQuery(stream_);
    if (status == cudaErrorNotReady) {
      cudaGetLastError();
      return false;
    }
    check_cuda(status, "cudaStreamQuery(stream {})", native());
    return true;
  }
  std::shared_ptr<EventBackend> record() override {
    make_current(device_);
    return std::make_shared<CudaEvent>(device_, stream_);
  }
  void wait(EventBackend& event) override {
    check_cuda(cudaStreamWaitEvent(stream_, static_cast<CudaEvent&>(event).get(), 0),
               "cudaStreamWaitEvent(stream {})", native());
  }
  bool capturing() override {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    check_cuda(cudaStreamIsCapturing(stream_, &status), "cudaStreamIsCapturing(stream {})",
               native());
    return status != cudaStreamCaptureStatusNone;
  }

 private:
  int device_;
  cudaStream_t stream_;
  bool owned_;
};

std::shared_ptr<StreamBackend> create(int index, int priority) {
  require_device(index);
  make_current(index);
  cudaStream_t stream = nullptr;
  check_cuda(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, priority),
             "cudaStreamCreateWithPriority(cuda:{}, non-blocking, priority {})", index, priority);
  return std::make_shared<CudaStream>(index, stream, true);
}

// Communication is short and others wait for it.
int priority_of(StreamRole role) {
  if (role != StreamRole::communication) return 0;
  int least = 0;
  int greatest = 0;
  check_cuda(cudaDeviceGetStreamPriorityRange(&least, &greatest),
             "cudaDeviceGetStreamPriorityRange");
  return greatest;
}

}  // namespace

std::shared_ptr<StreamBackend> make_stream(int index) {
  return create(index, 0);
}

std::shared_ptr<StreamBackend> borrow_stream(int index, void* native) {
  require_device(index);
  return std::make_shared<CudaStream>(index, static_cast<cudaStream_t>(native), false);
}

std::shared_ptr<StreamBackend> own_stream(int index, StreamRole role) {
  using Streams = std::array<std::shared_ptr<StreamBackend>, 3>;
  static auto* devices = new std::vector<Streams>;  // leaked: see docs/architecture.md
  static std::mutex mutex;
  if (index >= device_count()) return nullptr;
  const std::scoped_lock lock(mutex);
  const auto device = static_cast<std::size_t>(index);
  if (devices->size() <= device) devices->resize(device + 1);
  std::shared_ptr<StreamBackend>& stream = (*devices)[device][static_cast<std::size_t>(role)];
  if (stream == nullptr) {
    make_current(index);
    stream = create(index, priority_of(role));
  }
  return stream;
}

bool help_along() {
#ifdef MINIDL_EMULATED
  return emu::drain_some();
#else
  return false;
#endif
}

}  // namespace minidl::kernels::cuda
