#include "minidl/dist/flatten.h"

#include "minidl/core/autograd/tensor_impl.h"
#include "minidl/kernels/common/check.h"

namespace minidl::dist {

FlatTensors make_flat(const Tensors& tensors, std::int64_t extra) {
  check(!tensors.empty(), "make_flat: no tensors");
  const DType dtype = tensors.front().dtype();
  const Device device = tensors.front().device();
  std::int64_t size = extra;
  for (const Tensor& tensor : tensors) {
    check(tensor.dtype() == dtype && tensor.device() == device,
          "make_flat: {} and {} do not go into one block", describe(tensors.front()),
          describe(tensor));
    size += tensor.numel();
  }

  FlatTensors flat{.block = empty({size}, {.dtype = dtype, .device = device}), .views = {}};
  std::int64_t offset = 0;
  for (const Tensor& tensor : tensors) {
    const Tensor view = flat.block.detach();
    autograd::TensorImpl& impl = view.impl();
    impl.offset = offset;
    impl.shape = tensor.shape();
    impl.strides = strides_like(tensor.shape(), tensor.strides());
    flat.views.push_back(view);
    offset += tensor.numel();
  }
  return flat;
}

}  // namespace minidl::dist
