// What device-independent code asks of the CUDA backend. Answered by kernels/cuda/runtime, or by
// kernels/cuda/no_cuda_runtime.cpp in a build without CUDA.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "minidl/kernels/common/allocator.h"
#include "minidl/kernels/common/stream.h"

namespace minidl::kernels::cuda {

/// GPUs that minidl can use; 0 in a build without CUDA.
int device_count();

/// "" if there is a GPU that minidl can use, else one line that says why there is none.
std::string why_no_device();

/// Whether kernels are emulated on the CPU, which is for tests: nobody wants that by default.
bool is_emulated();

/// Throws Error, saying why, unless GPU `index` can be used.
void require_device(int index);

/// What its maker calls GPU `index`. Throws Error, saying why, unless it can be used.
std::string device_name(int index);

/// Makes GPU `index` the one that this thread's CUDA calls go to. Nothing happens where it is not
/// available.
void make_current(int index);

/// The allocator of GPU `index`: blocks are allocated and freed in the order of streams, from the
/// thread's current stream on; see kernels/cuda/runtime/allocator.cpp.
Allocator& allocator(int index);

std::shared_ptr<StreamBackend> make_stream(int index);
std::shared_ptr<StreamBackend> borrow_stream(int index, void* native);
/// Null where the GPU is not available: its kernels refuse by name.
std::shared_ptr<StreamBackend> own_stream(int index, StreamRole role);

/// For loops in which the host waits for something else (another process): GPUs go on by
/// themselves, but an emulated one runs only when it is asked to. True if it had something to do.
bool help_along();

/// Names what this thread does from now on for NVIDIA's tools, and ends the latest such range.
void push_range(const char* name) noexcept;
void pop_range() noexcept;

/// Page-locked memory, if there is a GPU that gains from it; otherwise ordinary memory. Aligned to
/// 64. Throws Error when there is none left.
void* allocate_pinned(std::size_t bytes);
void free_pinned(void* data) noexcept;

/// A copy of which at least one side is on a GPU; see `transfer` in kernels/common/transfer.h.
void transfer(void* to, const Device& to_device, const void* from, const Device& from_device,
              std::size_t bytes, const Stream& stream);

}  // namespace minidl::kernels::cuda
