// Tensors of a GPU where MPI finds them. Not part of the public interface.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "minidl/core/tensor.h"
#include "minidl/dist/mpi/collectives.h"
#include "minidl/kernels/common/pinned_memory.h"
#include "minidl/kernels/common/stream.h"

namespace minidl::dist {

/// A tensor's elements in host memory for the time of one collective. On the CPU that is the
/// tensor's own memory, and nothing is copied. Of a GPU's tensor it is a copy in pinned memory: it
/// comes and goes on the device's communication stream, and the host waits for what comes only.
/// Keeps the tensor alive.
class StagedTensor {
 public:
  /// Made where the collective is called: on the device it comes after what the caller's current
  /// stream holds by now. Throws Error, naming `op`, while that is captured into a graph.
  StagedTensor(const char* op, const Tensor& tensor);

  // The rest is for the queue's thread.

  /// Memory for the elements, uninitialised on a GPU.
  Block reserve();
  /// The elements, when they are there. Throws what Collectives::wait throws.
  Block fetch(Collectives& collectives);
  /// Starts to copy them back, from what reserve or fetch returned.
  void store();

  /// Fetches, changes and stores the elements piece by piece, so that a large tensor is on its way
  /// to the GPU, in the network and on its way back at once.
  void update(Collectives& collectives, const std::function<void(const Block& piece)>& change);

  /// The copies that were started, as users of the tensor's bytes; null on the CPU.
  std::shared_ptr<StorageUse> copies() const;

 private:
  void start_fetch(const Block& part);
  void start_store(const Block& part);
  std::byte* on_device(const Block& part) const;

  Tensor tensor_;
  Device device_;
  Event called_;
  Stream stream_;
  PinnedBuffer pinned_;
};

}  // namespace minidl::dist
