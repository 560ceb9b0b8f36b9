#include "minidl/core/copy_elements.h"

#include "minidl/kernels/common/exec_context.h"
#include "minidl/kernels/common/transfer.h"
#include "minidl/kernels/copy.h"

namespace minidl {
namespace {

using kernels::View;

std::size_t bytes_of(const View& view) {
  return static_cast<std::size_t>(view.numel()) * size_of(view.dtype);
}

bool lies_like(const View& a, const View& b) {
  return a.dtype == b.dtype && same_layout(a.shape, a.strides, b.strides);
}

// Dense views of one geometry: bytes as they lie.
void transfer_between(const View& from, const Device& from_device, const View& to,
                      const Device& to_device) {
  const Stream source = current_stream(from_device);
  const Stream target = current_stream(to_device);
  const bool two_gpus = from_device.is_cuda() && to_device.is_cuda();
  if (two_gpus) target.wait(source.record());
  const Stream& stream = to_device.is_cuda() ? target : source;
  kernels::transfer(to.data, to_device, from.data, from_device, bytes_of(from), stream);
  if (two_gpus) source.wait(target.record());    // before it reuses the memory
  if (to_device.is_cpu()) stream.synchronize();  // pinned memory may still be on its way
}

}  // namespace

// A transfer moves bytes: a side that has gaps, another layout or the wider dtype is copied on its
// own device.
void copy_elements(const View& from, const Device& from_device, const View& to,
                   const Device& to_device) {
  ExecContext source{.device = from_device};
  if (from_device == to_device) return kernels::copy(source, from, to);
  if (from.numel() == 0) return;
  ExecContext target{.device = to_device};
  View wire = size_of(to.dtype) < size_of(from.dtype) ? to : from;
  wire.shape = to.shape;
  wire.strides = is_dense(to.shape, to.strides) ? to.strides : strides_like(to.shape, from.strides);
  View sent = from;
  View received = to;
  Buffer packed;
  Buffer unpacked;
  if (!lies_like(from, wire)) {
    packed = source.workspace(bytes_of(wire));
    sent = wire;
    sent.data = packed.data();
    kernels::copy(source, from, sent);
  }
  if (!lies_like(to, wire)) {
    unpacked = target.workspace(bytes_of(wire));
    received = wire;
    received.data = unpacked.data();
  }
  transfer_between(sent, from_device, received, to_device);
  if (!lies_like(to, wire)) kernels::copy(target, received, to);
}

View row_major_view(void* values, DType dtype, const Shape& shape) {
  return {.data = values,
          .dtype = dtype,
          .shape = shape,
          .strides = contiguous_strides(shape),
          .defined = true};
}

}  // namespace minidl
