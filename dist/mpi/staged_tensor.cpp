#include "minidl/dist/mpi/staged_tensor.h"

#include <algorithm>
#include <vector>

#include "minidl/core/stream_use.h"
#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/transfer.h"

namespace minidl::dist {
namespace {

// A multiple of the chunks in which collectives send, which so keep their size.
constexpr std::size_t kPieceBytes = std::size_t{4} << 20;

}  // namespace

StagedTensor::StagedTensor(const char* op, const Tensor& tensor)
    : tensor_(tensor), device_(tensor.device()) {
  const Stream current = current_stream(device_);
  check(!current.capturing(), "{}: MPI cannot be part of a graph; call it outside of the capture",
        op);
  called_ = current.record();
  stream_ = Stream::own(device_, StreamRole::communication);
}

Block StagedTensor::reserve() {
  Block block{static_cast<std::byte*>(tensor_.raw_data()),
              static_cast<std::size_t>(tensor_.numel()), tensor_.dtype()};
  if (device_.is_cpu()) return block;
  pinned_ = PinnedBuffer(block.bytes());
  block.data = pinned_.as<std::byte>();
  stream_.wait(called_);
  return block;
}

Block StagedTensor::fetch(Collectives& collectives) {
  const Block block = reserve();
  start_fetch(block);
  collectives.wait(stream_.record());
  return block;
}

void StagedTensor::store() {
  start_store(
      {pinned_.as<std::byte>(), static_cast<std::size_t>(tensor_.numel()), tensor_.dtype()});
}

void StagedTensor::update(Collectives& collectives,
                          const std::function<void(const Block& piece)>& change) {
  const Block block = reserve();
  if (device_.is_cpu()) return change(block);
  struct Piece {
    Block block;
    Event arrived;
  };
  std::vector<Piece> pieces;
  const std::size_t step = kPieceBytes / size_of(block.dtype);
  for (std::size_t begin = 0; begin < block.count; begin += step) {
    const Block piece = block.slice(begin, std::min(step, block.count - begin));
    start_fetch(piece);
    pieces.push_back({piece, stream_.record()});
  }
  for (const Piece& piece : pieces) {
    collectives.wait(piece.arrived);
    change(piece.block);
    start_store(piece.block);
  }
}

std::shared_ptr<StorageUse> StagedTensor::copies() const {
  return device_.is_cpu() ? nullptr : std::make_shared<StreamUse>(device_, stream_);
}

void StagedTensor::start_fetch(const Block& part) {
  if (device_.is_cpu()) return;
  kernels::transfer(part.data, cpu, on_device(part), device_, part.bytes(), stream_);
  pinned_.used_by(stream_);
}

void StagedTensor::start_store(const Block& part) {
  if (device_.is_cpu()) return;
  kernels::transfer(on_device(part), device_, part.data, cpu, part.bytes(), stream_);
  pinned_.used_by(stream_);
}

std::byte* StagedTensor::on_device(const Block& part) const {
  return static_cast<std::byte*>(tensor_.raw_data()) + (part.data - pinned_.as<std::byte>());
}

}  // namespace minidl::dist
