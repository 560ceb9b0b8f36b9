// Tensors on a GPU, seen from the host: how elements get there and back, what waits and what does
// not, and when memory is freed. What operations compute there is checked by all other tests, which
// run on MINIDL_TEST_DEVICE. Skipped where there is no GPU; the emulated one counts.

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "minidl/core/grad_mode.h"
#include "minidl/core/host_copy.h"
#include "minidl/core/ops/elementwise.h"
#include "minidl/core/ops/matmul.h"
#include "minidl/core/random.h"
#include "minidl/core/serialization/safetensors.h"
#include "minidl/core/stream_use.h"
#include "minidl/core/tensor.h"
#include "minidl/kernels/common/pinned_memory.h"
#include "minidl/kernels/common/transfer.h"
#include "tests/catch.h"
#include "tests/default_device.h"
#include "tests/device.h"
#include "tests/folder.h"

using namespace minidl;
using test::gpu_or_skip;
using Values = std::vector<double>;

namespace {

const Device kGpu{DeviceType::cuda, 0};
constexpr DType kAllDtypes[] = {f32, f16, bf16, f64, i8, u8, i32, i64, boolean};

Tensor ramp(const Shape& shape, const Device& device, DType dtype = f32) {
  return arange(numel(shape), {.dtype = dtype, .device = device}).reshape(shape);
}

std::int64_t in_use(MemoryTag tag) {
  return memory_stats(kGpu)[tag].current;
}

}  // namespace

TEST_CASE("default device: the CPU until somebody says otherwise", "[default_device]") {
  const test::DefaultDeviceGuard device(cpu);
  CHECK(default_device() == cpu);
  CHECK(zeros({1}).device() == cpu);
  CHECK_THROWS_WITH(set_default_device({DeviceType::cuda, 1000}), Contains("cuda:1000"));
  CHECK(default_device() == cpu);
}

TEST_CASE("default device: where factories make tensors, and who does not ask", "[cuda]") {
  if (!gpu_or_skip()) return;
  const test::DefaultDeviceGuard device(kGpu);
  for (const Tensor& made :
       {empty({2}), zeros({2}), ones({2}), full({2}, 3), rand({2}), randn({2}), arange(2),
        tensor({1, 2}, {2}), scalar(1), empty_strided({2}, {2}), fake({2})}) {
    CHECK(made.device() == kGpu);
  }
  CHECK(zeros({2}, {.device = cpu}).device() == cpu);
  CHECK(zeros_like(zeros({2}, {.device = cpu})).device() == cpu);
  double memory[2] = {3, 4};
  CHECK(from_blob(memory, {2}, {.dtype = f64}).to_vector() == Values{3, 4});
  const test::Folder folder;
  save_safetensors(folder / "t", {{"x", ones({2})}});
  CHECK(load_safetensors(folder / "t").tensors.at(0).tensor.device() == cpu);
}

TEST_CASE("cuda: every dtype comes back as it went, in any layout", "[cuda]") {
  if (!gpu_or_skip()) return;
  using Layout = std::function<Tensor(const Tensor&)>;
  const Shape shape{2, 3, 4, 5};
  const std::vector<std::pair<std::string, Layout>> layouts{
      {"contiguous", [](const Tensor& t) { return t; }},
      {"channels last", [](const Tensor& t) { return t.channels_last(); }},
      {"transposed", [](const Tensor& t) { return t.transpose(0, 3); }},
      {"sliced", [](const Tensor& t) { return t.slice(3, 0, 5, 2).slice(1, 1, 3); }},
      {"stretched",
       [](const Tensor& t) {
         return t.slice(0, 0, 1).expand({7, 3, 4, 5});
       }},
      {"one element", [](const Tensor& t) { return t.slice(0, 1, 2).slice(2, 3, 4); }},
      {"nothing", [](const Tensor& t) { return t.slice(1, 0, 0); }},
  };
  for (const DType dtype : kAllDtypes) {
    for (const auto& [label, layout] : layouts) {
      CAPTURE(name(dtype), label);
      const Tensor host = layout(ramp(shape, cpu, f32).to(dtype));
      const Tensor there = host.to(kGpu);
      CHECK(there.device() == kGpu);
      CHECK(there.dtype() == dtype);
      CHECK(there.strides() == strides_like(host.shape(), host.strides()));
      CHECK(there.to_vector() == host.to_vector());
      const Tensor view = layout(ramp(shape, cpu, f32).to(dtype).to(kGpu));
      CHECK(view.strides() == host.strides());
      CHECK(view.to_vector() == host.to_vector());
      const Tensor back = view.to(cpu);
      CHECK(back.device() == cpu);
      CHECK(back.strides() == there.strides());
      CHECK(back.to_vector() == host.to_vector());
    }
  }
}

TEST_CASE("cuda: item and to_vector bring elements to the host", "[cuda]") {
  if (!gpu_or_skip()) return;
  CHECK(scalar(2.5, {.device = kGpu}).item() == 2.5);
  CHECK(tensor({7}, {1, 1}, {.dtype = i64, .device = kGpu}).item() == 7);
  CHECK(tensor({1, 2, 3, 4}, {2, 2}, {.device = kGpu}).t().to_vector() == Values{1, 3, 2, 4});
  CHECK(zeros({0, 3}, {.device = kGpu}).to_vector().empty());
  CHECK_THROWS_WITH(zeros({2}, {.device = kGpu}).item(), Contains("[2]"));
}

TEST_CASE("host copy: the elements as they were when it was made", "[host_copy]") {
  const Tensor t = tensor({1, 2, 3, 4}, {2, 2}, {.dtype = f16});
  const HostCopy turned(t.t());
  const HostCopy single(t.slice(0, 1, 2).slice(1, 0, 1));
  const HostCopy nothing(t.slice(0, 0, 0));
  t.fill_(9);
  CHECK(turned.to_vector() == Values{1, 3, 2, 4});
  CHECK(turned.to_vector() == Values{1, 3, 2, 4});
  CHECK(single.item() == 3);
  CHECK(nothing.to_vector().empty());
  CHECK_THROWS_WITH(turned.item(), Contains("4 elements"));
  CHECK_THROWS_WITH(HostCopy(fake({2})), Contains("no elements"));
}

TEST_CASE("cuda: copy_ takes elements from either side, of any dtype and layout", "[cuda]") {
  if (!gpu_or_skip()) return;
  for (const auto& [from, to] : {std::pair{cpu, kGpu}, {kGpu, cpu}, {kGpu, kGpu}}) {
    CAPTURE(to_string(from), to_string(to));
    const Tensor wide =
        tensor({1.5, 2.5, 3.5, 4.5, 5.5, 6.5}, {2, 3}, {.dtype = f64, .device = from});
    const Tensor dense = zeros({2, 3}, {.dtype = f64, .device = to});
    CHECK(dense.copy_(wide).to_vector() == wide.to_vector());
    const Tensor narrow = zeros({3, 2}, {.dtype = i32, .device = to});
    CHECK(narrow.copy_(wide.t()).to_vector() == Values{1, 4, 2, 5, 3, 6});
    CHECK(dense.copy_(narrow.t().to(from)).to_vector() == Values{1, 2, 3, 4, 5, 6});
    const Tensor whole = zeros({2, 5}, {.device = to});
    whole.slice(1, 0, 5, 2).copy_(wide);
    CHECK(whole.to_vector() == Values{1.5, 0, 2.5, 0, 3.5, 4.5, 0, 5.5, 0, 6.5});
    const Tensor rows = zeros({2, 3}, {.dtype = f16, .device = to});
    rows.copy_(tensor({1, 2, 3}, {3}, {.device = from}));
    CHECK(rows.to_vector() == Values{1, 2, 3, 1, 2, 3});
    CHECK_THROWS_WITH(rows.copy_(zeros({2}, {.device = from})), Contains("copy_"));
    CHECK(rows.storage().version() == 1);
  }
}

TEST_CASE("cuda: gradients come back to the device of the leaf", "[cuda]") {
  if (!gpu_or_skip()) return;
  const Tensor x = tensor({1, 2, 3}, {3}, {.dtype = f64, .device = cpu, .requires_grad = true});
  const Tensor y = x.to(kGpu) * tensor({2, 3, 4}, {3}, {.dtype = f64, .device = kGpu});
  CHECK(y.device() == kGpu);
  y.to(cpu).sum().backward();
  CHECK(x.grad().device() == cpu);
  CHECK(x.grad().to_vector() == Values{2, 3, 4});
}

TEST_CASE("cuda: operands on two devices are refused, and both named", "[cuda]") {
  if (!gpu_or_skip()) return;
  const Tensor here = ones({2, 2}, {.device = cpu});
  const Tensor there = ones({2, 2}, {.device = kGpu});
  const Tensor leaf = ones({2, 2}, {.device = cpu, .requires_grad = true});
  struct Row {
    std::string op;
    std::function<void()> run;
  };
  for (const Row& row : std::vector<Row>{{"add", [&] { here + there; }},
                                         {"mul", [&] { there* here; }},
                                         {"matmul", [&] { matmul(there, here); }},
                                         {"add_", [&] { here.add_(there); }},
                                         {"set_grad", [&] { leaf.set_grad(there); }}}) {
    CAPTURE(row.op);
    CHECK_THROWS_WITH(row.run(),
                      Contains(row.op + ":") && Contains("on cpu") && Contains("on cuda:0"));
  }
  const Tensor loss = leaf.sum();
  leaf.set_data(there);
  CHECK_THROWS_WITH(loss.backward(), Contains("on cpu") && Contains("on cuda:0"));
}

TEST_CASE("cuda: memory is counted there and by tag", "[cuda]") {
  if (!gpu_or_skip()) return;
  const std::int64_t params = in_use(MemoryTag::param);
  const std::int64_t activations = in_use(MemoryTag::activation);
  const std::int64_t host = memory_stats(cpu).total.current;
  {
    const Tensor t = zeros({100}, {.device = kGpu});
    CHECK(in_use(MemoryTag::activation) == activations + 400);
    t.set_memory_tag(MemoryTag::param);
    CHECK(in_use(MemoryTag::param) == params + 400);
    t.storage().release();
    CHECK(in_use(MemoryTag::param) == params);
    t.storage().materialize();
    CHECK(in_use(MemoryTag::param) == params + 400);
  }
  CHECK(in_use(MemoryTag::param) == params);
  CHECK(in_use(MemoryTag::activation) == activations);
  CHECK(memory_stats(cpu).total.current == host);
  const std::int64_t scratch = in_use(MemoryTag::workspace);
  ramp({4, 5}, kGpu).t().to(f64).slice(1, 0, 3).to_vector();  // staged, on both sides
  CHECK(in_use(MemoryTag::workspace) == scratch);
}

TEST_CASE("cuda: random numbers are those of the CPU", "[cuda][random]") {
  if (!gpu_or_skip()) return;
  for (const Device& device : {cpu, kGpu}) {
    manual_seed(7);
    rand({10}, {.device = device});
    const Tensor second = rand({3, 5}, {.dtype = f64, .device = device});
    manual_seed(7);
    default_generator().next();
    CHECK(second.to_vector() == rand({3, 5}, {.dtype = f64, .device = cpu}).to_vector());
  }
}

TEST_CASE("cuda: operations go to the guard's stream, which another can wait for", "[cuda]") {
  if (!gpu_or_skip()) return;
  const Stream side = Stream::create(kGpu);
  const Tensor x = ramp({1000}, kGpu);
  Tensor y;
  side.wait(current_stream(kGpu).record());
  {
    const StreamGuard guard(kGpu, side);
    y = x * 2 + 1;
  }
  x.record_stream(side);
  current_stream(kGpu).wait(side.record());
  const Tensor z = y - x;
  y.record_stream(current_stream(kGpu));
  CHECK(z.to_vector() == ramp({1000}, cpu).mul_(1).add_(ones({1}, {.device = cpu})).to_vector());
}

TEST_CASE("cuda: recorded streams keep memory from being used again too early", "[cuda]") {
  if (!gpu_or_skip()) return;
  constexpr std::int64_t kCount = 5000;
  const Stream side = Stream::create(kGpu);
  const Stream compute = current_stream(kGpu);
  const Tensor result = zeros({kCount}, {.device = kGpu});
  for (const bool released : {false, true}) {
    CAPTURE(released);
    Tensor x = full({kCount}, 7, {.device = kGpu});
    side.wait(compute.record());
    {
      const StreamGuard guard(kGpu, side);
      result.copy_(x);
    }
    x.record_stream(side);
    const Storage storage = x.storage();
    if (released) storage.release();
    x = {};
  }
  // The freed blocks come back; what was queued on the side has read the old elements all the same.
  const Tensor other = full({kCount}, 9, {.device = kGpu});
  const Tensor another = full({kCount}, 9, {.device = kGpu});
  compute.wait(side.record());
  CHECK(result.to_vector() == Values(kCount, 7));
  CHECK(other.to_vector() == another.to_vector());
}

TEST_CASE("cuda: a use by a stream is over when the stream has got there", "[cuda]") {
  if (!gpu_or_skip()) return;
  const Stream side = Stream::create(kGpu);
  const Tensor x = ones({5000}, {.device = kGpu});
  side.wait(current_stream(kGpu).record());
  {
    const StreamGuard guard(kGpu, side);
    x.add_(x);
  }
  StreamUse use(kGpu, side);
  side.synchronize();
  CHECK(use.done());
  CHECK_NOTHROW(use.finish());
  CHECK(StreamUse(cpu, Stream()).done());
  // A stream that reads the host's memory: it is the host that waits for it.
  PinnedBuffer pinned(8);
  *pinned.as<double>() = 3;
  const Tensor there = zeros({1}, {.dtype = f64, .device = kGpu});
  side.wait(current_stream(kGpu).record());
  {
    const Tensor host = from_blob(pinned.data(), {1}, {.dtype = f64}, {}, [&](void*) {
      CHECK(side.done());
      *pinned.as<double>() = 5;
    });
    kernels::transfer(there.raw_data(), kGpu, host.raw_data(), cpu, 8, side);
    host.record_stream(side);
  }
  CHECK(there.item() == 3);
}
