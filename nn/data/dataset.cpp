#include "minidl/nn/data/dataset.h"

#include <cstddef>
#include <cstring>

#include "minidl/core/grad_mode.h"
#include "minidl/kernels/common/check.h"

namespace minidl::data {
namespace {

// On the host, with the samples one after the other.
Tensor prepare(const Tensor& tensor) {
  const NoGradGuard no_grad;
  const Tensor host = tensor.detach().to(cpu);
  return host.dim() == 4 && host.is_channels_last() ? host : host.contiguous();
}

Tensor take_rows(const Tensor& source, std::span<const std::int64_t> indices) {
  Shape shape = source.shape();
  shape[0] = static_cast<std::int64_t>(indices.size());
  const Tensor rows = empty_strided(shape, strides_like(shape, source.shape(), source.strides()),
                                    {.dtype = source.dtype(), .device = cpu});
  if (rows.numel() == 0) return rows;
  const std::size_t row_bytes =
      static_cast<std::size_t>(rows.numel() / shape[0]) * size_of(source.dtype());
  const auto* from = static_cast<const std::byte*>(source.raw_data());
  auto* to = static_cast<std::byte*>(rows.raw_data());
  for (const std::int64_t index : indices) {
    std::memcpy(to, from + static_cast<std::size_t>(index) * row_bytes, row_bytes);
    to += row_bytes;
  }
  return rows;
}

}  // namespace

void Dataset::check_indices(std::span<const std::int64_t> indices) const {
  const std::int64_t count = size();
  for (const std::int64_t index : indices) {
    check(index >= 0 && index < count, "{}: there is no sample {} among {}", name(), index, count);
  }
}

TensorDataset::TensorDataset(const Tensor& x, const Tensor& y) {
  check(x.defined() && y.defined(), "TensorDataset: both tensors must be defined");
  check(!x.is_fake() && !y.is_fake(), "TensorDataset: a fake tensor has no elements to load");
  check(x.dim() > 0 && y.dim() > 0 && x.size(0) == y.size(0),
        "TensorDataset: {} and {} must have the same number of samples in dimension 0", describe(x),
        describe(y));
  x_ = prepare(x);
  y_ = prepare(y);
}

Batch TensorDataset::batch(std::span<const std::int64_t> indices, const BatchContext&) const {
  check_indices(indices);
  return {.x = take_rows(x_, indices), .y = take_rows(y_, indices)};
}

}  // namespace minidl::data
