#include "minidl/kernels/common/stream.h"

#include <cstddef>
#include <utility>
#include <vector>

#include "minidl/kernels/common/cuda_support.h"
#include "minidl/kernels/common/stream_backend.h"

namespace minidl {
namespace {

// By device index; empty where no guard lives.
thread_local std::vector<Stream> guarded;

Stream& guarded_stream(int index) {
  const auto at = static_cast<std::size_t>(index);
  if (guarded.size() <= at) guarded.resize(at + 1);
  return guarded[at];
}

}  // namespace

bool Event::done() const {
  return backend_ == nullptr || backend_->done();
}

void Event::synchronize() const {
  if (backend_ != nullptr) backend_->synchronize();
}

Stream Stream::create(const Device& device) {
  return device.is_cpu() ? Stream() : Stream(kernels::cuda::make_stream(device.index));
}

Stream Stream::borrow(const Device& device, void* native) {
  return device.is_cpu() ? Stream() : Stream(kernels::cuda::borrow_stream(device.index, native));
}

Stream Stream::own(const Device& device, StreamRole role) {
  return device.is_cpu() ? Stream() : Stream(kernels::cuda::own_stream(device.index, role));
}

void* Stream::native() const {
  return backend_ == nullptr ? nullptr : backend_->native();
}

void Stream::synchronize() const {
  if (backend_ != nullptr) backend_->synchronize();
}

bool Stream::done() const {
  return backend_ == nullptr || backend_->done();
}

Event Stream::record() const {
  return backend_ == nullptr ? Event() : Event(backend_->record());
}

void Stream::wait(const Event& event) const {
  if (event.backend() == nullptr) return;
  if (backend_ == nullptr) {
    event.synchronize();  // on the CPU, what comes next starts at once
  } else {
    backend_->wait(*event.backend());
  }
}

bool Stream::capturing() const {
  return backend_ != nullptr && backend_->capturing();
}

Stream current_stream(const Device& device) {
  if (device.is_cpu()) return {};
  kernels::cuda::make_current(device.index);
  const Stream& guard = guarded_stream(device.index);
  return guard.backend() != nullptr ? guard : Stream::own(device, StreamRole::compute);
}

StreamGuard::StreamGuard(const Device& device, Stream stream)
    : index_(device.is_cpu() ? -1 : device.index) {
  if (index_ >= 0) outer_ = std::exchange(guarded_stream(index_), std::move(stream));
}

StreamGuard::~StreamGuard() {
  if (index_ >= 0) guarded_stream(index_) = std::move(outer_);
}

}  // namespace minidl
