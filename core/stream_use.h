// Work on a stream as a user of memory.
#pragma once

#include "minidl/core/storage.h"
#include "minidl/kernels/common/stream.h"

namespace minidl {

/// What a stream held when this was made reads or writes the bytes. Before they are freed, it is
/// the stream that frees them which waits, not the host; for bytes of the CPU, the host.
class StreamUse final : public StorageUse {
 public:
  /// `device` is where the bytes are.
  StreamUse(const Device& device, const Stream& stream)
      : device_(device), event_(stream.record()) {}
  bool done() const override { return event_.done(); }
  void finish() override { current_stream(device_).wait(event_); }

 private:
  Device device_;
  Event event_;
};

}  // namespace minidl
