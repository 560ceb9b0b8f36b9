// DLPack: what goes out comes back, who frees what and when, and what is refused.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "minidl/core/interop/dlpack.h"
#include "minidl/core/interop/dlpack_abi.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/kernels/common/error.h"
#include "tests/catch.h"
#include "tests/device.h"

using namespace minidl;
using namespace minidl::test;
using Values = std::vector<double>;

// What every library was compiled with.
static_assert(sizeof(DLDevice) == 8 && sizeof(DLDataType) == 4 && sizeof(DLTensor) == 48);
static_assert(offsetof(DLTensor, ndim) == 16 && offsetof(DLTensor, dtype) == 20 &&
              offsetof(DLTensor, shape) == 24 && offsetof(DLTensor, byte_offset) == 40);
static_assert(sizeof(DLManagedTensorVersioned) == 80 &&
              offsetof(DLManagedTensorVersioned, manager_ctx) == 8 &&
              offsetof(DLManagedTensorVersioned, deleter) == 16 &&
              offsetof(DLManagedTensorVersioned, flags) == 24 &&
              offsetof(DLManagedTensorVersioned, dl_tensor) == 32);
static_assert(sizeof(DLManagedTensor) == 64 && offsetof(DLManagedTensor, deleter) == 56);

namespace {

constexpr DType kDtypes[] = {f32, f16, bf16, f64, i8, u8, i32, i64, boolean};

/// Another library's tensor: f32 0, 1, 2, … in a buffer of its own. Counts its deleter's calls.
template <class Managed>
struct ForeignTensor {
  std::vector<float> buffer = std::vector<float>(64);
  std::vector<std::int64_t> shape{2, 3};
  std::vector<std::int64_t> strides{3, 1};
  Managed managed{};
  int deleted = 0;

  ForeignTensor() {
    for (std::size_t i = 0; i < buffer.size(); ++i) buffer[i] = static_cast<float>(i);
    managed.dl_tensor = {.data = buffer.data(),
                         .device = {kDLCPU, 0},
                         .ndim = 2,
                         .dtype = {.code = kDLFloat, .bits = 32, .lanes = 1},
                         .shape = shape.data(),
                         .strides = strides.data(),
                         .byte_offset = 0};
    managed.manager_ctx = this;
    managed.deleter = [](Managed* self) {
      ++static_cast<ForeignTensor*>(self->manager_ctx)->deleted;
    };
  }
  ForeignTensor(const ForeignTensor&) = delete;
  ForeignTensor& operator=(const ForeignTensor&) = delete;

  DLTensor& tensor() { return managed.dl_tensor; }
};
using Foreign = ForeignTensor<DLManagedTensor>;

struct ForeignVersioned : ForeignTensor<DLManagedTensorVersioned> {
  ForeignVersioned() { managed.version = {1, 0}; }
};

}  // namespace

TEST_CASE("dlpack: there and back without a copy", "[dlpack]") {
  for (const DType dtype : kDtypes) {
    for (const Shape& shape : {Shape{}, Shape{6}, Shape{2, 3}, Shape{0, 3}, Shape{1, 2, 3, 1}}) {
      INFO(name(dtype) << to_string(shape));
      Values values{0, 1, 1, 0, 1, 1};
      values.resize(static_cast<std::size_t>(numel(shape)));
      const Tensor x = tensor(values, shape, {.dtype = dtype});
      const Tensor back = from_dlpack(to_dlpack(x));
      CHECK(back.dtype() == dtype);
      CHECK(back.shape() == shape);
      CHECK(back.device() == x.device());
      CHECK(back.raw_data() == x.raw_data());
      CHECK(back.to_vector() == values);
    }
  }
}

TEST_CASE("dlpack: views keep their strides and their place", "[dlpack]") {
  const Tensor x = arange(24, {.dtype = f32}).reshape({2, 3, 4});
  for (const Tensor& view : {x.transpose(0, 2), x.slice(2, 1, 4, 2), x.select(1, 2),
                             x.select(0, 1).unsqueeze(0).expand({5, 3, 4})}) {
    const Tensor back = from_dlpack(to_dlpack(view));
    CHECK(back.shape() == view.shape());
    CHECK(back.strides() == view.strides());
    CHECK(back.raw_data() == view.raw_data());
    CHECK(back.to_vector() == view.to_vector());
  }
}

TEST_CASE("dlpack: what another library sees", "[dlpack]") {
  const Tensor x = zeros({2, 3}, {.dtype = i32}).t();
  DLManagedTensor* managed = to_dlpack(x);
  const DLTensor& seen = managed->dl_tensor;
  CHECK(seen.data == x.raw_data());
  CHECK(seen.device.device_type == (x.device().is_cpu() ? kDLCPU : kDLCUDA));
  CHECK(seen.device.device_id == x.device().index);
  CHECK(seen.ndim == 2);
  CHECK(seen.dtype.code == kDLInt);
  CHECK(seen.dtype.bits == 32);
  CHECK(seen.dtype.lanes == 1);
  CHECK((seen.shape[0] == 3 && seen.shape[1] == 2));
  CHECK((seen.strides[0] == 1 && seen.strides[1] == 3));
  CHECK(seen.byte_offset == 0);
  managed->deleter(managed);
}

TEST_CASE("dlpack: an export keeps the elements alive, and no longer", "[dlpack]") {
  const auto in_use = [] { return memory_stats(test_device()).total.current; };
  const std::int64_t before = in_use();
  DLManagedTensor* managed = nullptr;
  {
    const Tensor x = full({1000}, 7);
    managed = to_dlpack(x);
  }
  CHECK(in_use() == before + 4000);
  Tensor back = from_dlpack(managed);
  const Tensor part = back.slice(0, 10, 12);
  back = Tensor();
  CHECK(part.to_vector() == Values{7, 7});
  CHECK(in_use() == before + 4000);
  const_cast<Tensor&>(part) = Tensor();
  CHECK(in_use() == before);
}

TEST_CASE("dlpack: changes show on the other side", "[dlpack]") {
  Foreign foreign;
  const Tensor x = from_dlpack(&foreign.managed);
  x.fill_(5);
  CHECK(foreign.buffer[5] == 5);
  CHECK(foreign.buffer[6] == 6);
  foreign.buffer[0] = 9;
  CHECK(x.to_vector().front() == 9);
}

TEST_CASE("dlpack: the deleter runs once, with the last tensor", "[dlpack][cpu]") {
  Foreign foreign;
  {
    const Tensor x = from_dlpack(&foreign.managed);
    CHECK(x.to_vector() == Values{0, 1, 2, 3, 4, 5});
    const Tensor leaf = x.detach().set_requires_grad();
    Tensor sum = (leaf * leaf).sum();
    const Tensor view = x.select(0, 1);
    CHECK(foreign.deleted == 0);
    sum.backward();
    CHECK(leaf.grad().to_vector() == Values{0, 2, 4, 6, 8, 10});
    CHECK(foreign.deleted == 0);
  }
  CHECK(foreign.deleted == 1);
}

TEST_CASE("dlpack: no deleter, no strides, an offset, odd strides of single extents",
          "[dlpack][cpu]") {
  Foreign foreign;
  foreign.managed.deleter = nullptr;
  foreign.tensor().strides = nullptr;
  foreign.tensor().byte_offset = 8;
  CHECK(from_dlpack(&foreign.managed).to_vector() == Values{2, 3, 4, 5, 6, 7});

  foreign.tensor().strides = foreign.strides.data();
  foreign.shape = {1, 3};
  foreign.strides = {-77, 2};
  foreign.tensor().device.device_type = kDLCUDAHost;
  const Tensor x = from_dlpack(&foreign.managed);
  CHECK(x.device() == cpu);
  CHECK(x.to_vector() == Values{2, 4, 6});

  foreign.shape = {0, 3};
  foreign.strides = {-1, INT64_MAX};
  foreign.tensor().data = nullptr;
  CHECK(from_dlpack(&foreign.managed).shape() == Shape{0, 3});

  foreign.tensor().ndim = 0;
  foreign.tensor().shape = nullptr;
  foreign.tensor().strides = nullptr;
  foreign.tensor().data = foreign.buffer.data();
  CHECK(from_dlpack(&foreign.managed).item() == 2);
}

TEST_CASE("dlpack: what cannot be taken is refused, and freed once", "[dlpack][cpu]") {
  struct Row {
    std::string label;
    std::function<void(Foreign&)> change;
    std::string text;
  };
  constexpr std::int64_t kHuge = std::int64_t{1} << 62;
  const std::vector<Row> rows{
      {"a negative stride",
       [](Foreign& f) {
         f.strides = {-3, 1};
       },
       "has the stride -3"},
      {"a negative extent",
       [](Foreign& f) {
         f.shape = {2, -1};
       },
       "extent 1 is -1"},
      {"nine dimensions", [](Foreign& f) { f.tensor().ndim = 9; }, "9 dimensions"},
      {"-1 dimensions", [](Foreign& f) { f.tensor().ndim = -1; }, "-1 dimensions"},
      {"no shape", [](Foreign& f) { f.tensor().shape = nullptr; }, "no shape"},
      {"no data", [](Foreign& f) { f.tensor().data = nullptr; }, "no data"},
      {"not aligned", [](Foreign& f) { f.tensor().byte_offset = 2; }, "not aligned"},
      {"too large a shape",
       [](Foreign& f) {
         f.shape = {kHuge, kHuge};
       },
       "too large"},
      {"too large an empty shape",
       [](Foreign& f) {
         f.shape = {0, kHuge};
       },
       "too large"},
      {"too large strides",
       [](Foreign& f) {
         f.strides = {kHuge, kHuge};
       },
       "too large"},
      {"complex",
       [](Foreign& f) {
         f.tensor().dtype = {kDLComplex, 64, 1};
       },
       "complex64"},
      {"unsigned 16",
       [](Foreign& f) {
         f.tensor().dtype = {kDLUInt, 16, 1};
       },
       "uint16"},
      {"vectors", [](Foreign& f) { f.tensor().dtype.lanes = 4; }, "4 lanes"},
      {"a type to come",
       [](Foreign& f) {
         f.tensor().dtype = {99, 8, 1};
       },
       "unknown8 (code 99"},
      {"another GPU",
       [](Foreign& f) {
         f.tensor().device = {kDLROCM, 0};
       },
       "type 10"},
      {"a GPU that is not there",
       [](Foreign& f) {
         f.tensor().device = {kDLCUDA, 99};
       },
       "cuda"},
  };
  for (const Row& row : rows) {
    Foreign foreign;
    row.change(foreign);
    std::string message;
    try {
      from_dlpack(&foreign.managed);
    } catch (const Error& error) {
      message = error.what();
    }
    INFO(row.label << ": " << message);
    CHECK(message.find(row.text) != std::string::npos);
    CHECK(foreign.deleted == 1);
  }
  CHECK_THROWS_WITH(from_dlpack(static_cast<DLManagedTensor*>(nullptr)), Contains("null"));
  CHECK_THROWS_WITH(from_dlpack(static_cast<DLManagedTensorVersioned*>(nullptr)), Contains("null"));
}

TEST_CASE("dlpack: what cannot be given is refused", "[dlpack]") {
  CHECK_THROWS_WITH(to_dlpack(ones({2}, {.requires_grad = true})), Contains("detach()"));
  CHECK_THROWS_WITH(to_dlpack(fake({2})), Contains("fake f32[2]"));
  CHECK_THROWS_WITH(to_dlpack(Tensor()), Contains("undefined"));
  const Tensor released = ones({2});
  released.storage().release();
  CHECK_THROWS_WITH(to_dlpack(released), Contains("released"));
}

TEST_CASE("dlpack: versioned, there and back without a copy", "[dlpack]") {
  for (const DType dtype : kDtypes) {
    INFO(name(dtype));
    const Tensor x = tensor({0, 1, 1, 0, 1, 1}, {2, 3}, {.dtype = dtype}).t();
    DLManagedTensorVersioned* managed = to_dlpack_versioned(x);
    CHECK((managed->version.major == 1 && managed->version.minor == 0));
    CHECK(managed->flags == 0);
    const Tensor back = from_dlpack(managed);
    CHECK(back.dtype() == dtype);
    CHECK(back.strides() == x.strides());
    CHECK(back.raw_data() == x.raw_data());
  }
}

TEST_CASE("dlpack: versioned copies and what is read-only say so", "[dlpack]") {
  const Tensor x = full({2, 3}, 4);
  DLManagedTensorVersioned* copied = to_dlpack_versioned(x, {.copy = true});
  CHECK(copied->flags == DLPACK_FLAG_BITMASK_IS_COPIED);
  const Tensor copy = from_dlpack(copied);
  CHECK(copy.raw_data() != x.raw_data());
  CHECK(copy.to_vector() == x.to_vector());

  DLManagedTensorVersioned* shown = to_dlpack_versioned(x, {.read_only = true});
  CHECK(shown->flags == DLPACK_FLAG_BITMASK_READ_ONLY);
  CHECK(shown->dl_tensor.data == x.raw_data());
  const Tensor mine = from_dlpack(shown);
  mine.fill_(5);
  CHECK(x.to_vector() == Values(6, 4));
  CHECK(mine.to_vector() == Values(6, 5));
}

TEST_CASE("dlpack: versioned, the deleter runs once, whatever comes", "[dlpack][cpu]") {
  ForeignVersioned kept;
  {
    const Tensor x = from_dlpack(&kept.managed);
    x.fill_(3);
    CHECK(kept.deleted == 0);
  }
  CHECK(kept.buffer[5] == 3);
  CHECK(kept.deleted == 1);

  ForeignVersioned read_only;
  read_only.managed.flags = DLPACK_FLAG_BITMASK_READ_ONLY;
  const Tensor copy = from_dlpack(&read_only.managed);
  CHECK(read_only.deleted == 1);
  CHECK(copy.to_vector() == Values{0, 1, 2, 3, 4, 5});

  ForeignVersioned future;
  future.managed.version = {2, 1};
  future.tensor().ndim = -1;  // or whatever it means then
  CHECK_THROWS_WITH(from_dlpack(&future.managed), Contains("that of DLPack 2.1; 1 can be read"));
  CHECK(future.deleted == 1);

  ForeignVersioned newer;
  newer.managed.version = {1, 7};
  CHECK(from_dlpack(&newer.managed).to_vector() == Values{0, 1, 2, 3, 4, 5});

  ForeignVersioned broken;
  broken.strides = {-3, 1};
  CHECK_THROWS_WITH(from_dlpack(&broken.managed), Contains("has the stride -3"));
  CHECK(broken.deleted == 1);
}

TEST_CASE("dlpack: versioned, what cannot be given is refused", "[dlpack]") {
  for (const bool copy : {false, true}) {
    const DLPackOptions options{.copy = copy};
    CHECK_THROWS_WITH(to_dlpack_versioned(ones({2}, {.requires_grad = true}), options),
                      Contains("to_dlpack_versioned: ") && Contains("detach()"));
    CHECK_THROWS_WITH(to_dlpack_versioned(fake({2}), options), Contains("fake f32[2]"));
    CHECK_THROWS_WITH(to_dlpack_versioned(Tensor(), options), Contains("undefined"));
  }
}
