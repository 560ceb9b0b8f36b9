// Stands in for kernels/cuda/runtime in a build without CUDA.

#include <cstdlib>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/cuda_support.h"
#include "minidl/kernels/common/stream_backend.h"

namespace minidl::kernels::cuda {
namespace {

[[noreturn]] void refuse(int index) {
  fail("device cuda:{}: this build of minidl has no CUDA support; use the CPU (--device cpu)",
       index);
}

}  // namespace

int device_count() {
  return 0;
}
std::string why_no_device() {
  return "this build of minidl has no CUDA support";
}
bool is_emulated() {
  return false;
}
void require_device(int index) {
  refuse(index);
}
std::string device_name(int index) {
  refuse(index);
}
void make_current(int) {}
Allocator& allocator(int index) {
  refuse(index);
}

std::shared_ptr<StreamBackend> make_stream(int index) {
  refuse(index);
}
std::shared_ptr<StreamBackend> borrow_stream(int index, void*) {
  refuse(index);
}
std::shared_ptr<StreamBackend> own_stream(int, StreamRole) {
  return nullptr;
}

bool help_along() {
  return false;
}

void push_range(const char*) noexcept {}
void pop_range() noexcept {}

void* allocate_pinned(std::size_t bytes) {
  void* data = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
  check(data != nullptr, "out of memory: {} bytes on the CPU could not be allocated", bytes);
  return data;
}
void free_pinned(void* data) noexcept {
  std::free(data);
}

void transfer(void*, const Device& to, const void*, const Device& from, std::size_t,
              const Stream&) {
  refuse((to.is_cuda() ? to : from).index);
}

}  // namespace minidl::kernels::cuda
