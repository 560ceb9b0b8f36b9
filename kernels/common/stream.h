// Queues of work on a device. The CPU has none: there, work is done when the call returns, and all
// of this does nothing.
#pragma once

#include <cstdint>
#include <memory>

#include "minidl/kernels/common/device.h"

namespace minidl {

class StreamBackend;
class EventBackend;

/// A point in a stream, to be waited for. A handle: copies are the same event.
class Event {
 public:
  /// An event that has already happened.
  Event() = default;
  explicit Event(std::shared_ptr<EventBackend> backend) : backend_(std::move(backend)) {}

  /// Whether the work before it is done. Does not wait.
  bool done() const;
  /// Waits, on the host, until it is. Throws Error if the device failed.
  void synchronize() const;

  EventBackend* backend() const { return backend_.get(); }

 private:
  std::shared_ptr<EventBackend> backend_;
};

/// What a process's own streams are for. Each device has one of each.
enum class StreamRole : std::uint8_t { compute, communication, copy };

/// An ordered queue of work on one device. A handle: copies are the same stream, and it lives as
/// long as one of them.
class Stream {
 public:
  /// The CPU's: nothing is ever queued.
  Stream() = default;
  explicit Stream(std::shared_ptr<StreamBackend> backend) : backend_(std::move(backend)) {}

  /// A new stream, ordered with no other one. Throws Error where the device is not available.
  static Stream create(const Device& device);

  /// A stream that the caller owns: `native` is a cudaStream_t of that device, null for CUDA's
  /// default stream. It must outlive this and all memory that is allocated while it is current.
  static Stream borrow(const Device& device, void* native);

  /// One of the process's own.
  static Stream own(const Device& device, StreamRole role);

  /// The cudaStream_t; null on the CPU.
  void* native() const;

  /// Waits, on the host, until everything queued is done. Throws Error if the device failed.
  void synchronize() const;
  /// Whether everything queued is done. Does not wait.
  bool done() const;

  /// A mark behind everything queued so far.
  Event record() const;
  /// What is queued from now on starts after the event. The host does not wait.
  void wait(const Event& event) const;

  /// Whether what is issued becomes part of a graph instead of running.
  bool capturing() const;

  StreamBackend* backend() const { return backend_.get(); }
  friend bool operator==(const Stream& a, const Stream& b) { return a.native() == b.native(); }

 private:
  std::shared_ptr<StreamBackend> backend_;
};

/// The stream that this thread's operations on the device go to: the process's compute stream,
/// unless a StreamGuard says otherwise. Memory is allocated in its order. Makes the device current
/// for CUDA calls of this thread.
Stream current_stream(const Device& device);

/// Makes a stream the current one of its device, for this thread, while it lives.
class StreamGuard {
 public:
  StreamGuard(const Device& device, Stream stream);
  ~StreamGuard();
  StreamGuard(const StreamGuard&) = delete;
  StreamGuard& operator=(const StreamGuard&) = delete;

 private:
  int index_;  // of the device; -1: the CPU
  Stream outer_;
};

}  // namespace minidl
