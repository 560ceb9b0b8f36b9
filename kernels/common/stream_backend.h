// What a device behind Stream and Event implements. Not part of the public interface.
#pragma once

#include <memory>

namespace minidl {

class EventBackend {
 public:
  virtual ~EventBackend() = default;
  virtual bool done() = 0;
  virtual void synchronize() = 0;
};

class StreamBackend {
 public:
  virtual ~StreamBackend() = default;
  virtual void* native() const = 0;
  virtual void synchronize() = 0;
  virtual bool done() = 0;
  virtual std::shared_ptr<EventBackend> record() = 0;
  /// `event` is one of the same kind of device.
  virtual void wait(EventBackend& event) = 0;
  virtual bool capturing() = 0;
};

}  // namespace minidl
