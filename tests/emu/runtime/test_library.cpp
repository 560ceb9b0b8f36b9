// The contract: minidl's own runtime layer behaves on machines and in situations that only an
// emulator can stage: no driver, another GPU, a stream nobody waited for, a capture under way.

#include "minidl/kernels/common/allocator.h"
#include "minidl/kernels/common/cuda_support.h"
#include "minidl/kernels/common/error.h"
#include "minidl/kernels/common/stream.h"
#include "minidl/kernels/common/transfer.h"
#include "minidl/kernels/cuda/runtime/discovery.h"
#include "scene.h"

using namespace emu;
using namespace emu::scene;
using minidl::Buffer;
using minidl::Device;
using minidl::MemoryTag;
using minidl::Stream;
using minidl::kernels::cuda::code_for;
using minidl::kernels::cuda::discover;

namespace {

const Device kGpu{minidl::DeviceType::cuda, 0};

}  // namespace

TEST_CASE("a machine without GPU or driver is described in one line", "[library]") {
  const Scene scene;
  runtime_options().machine = Machine::kNoDriver;
  CHECK(discover().why_none == "no NVIDIA driver is installed");
  CHECK(discover().usable() == 0);
  runtime_options().machine = Machine::kNoDevice;
  CHECK_THAT(discover().why_none, Contains("the NVIDIA driver sees no GPU"));
  runtime_options().machine = Machine::kDevice;
  CHECK(discover().why_none.empty());
  CHECK(discover().usable() == 1);
  CHECK(discover().devices[0].major == 9);
  CHECK(cudaGetLastError() == cudaSuccess);
}

TEST_CASE("the emulated device is never the best one", "[library]") {
  CHECK(Device::best() == minidl::cpu);
  CHECK_THAT(minidl::why_not_cuda(), Contains("emulated"));
}

TEST_CASE("processes of a machine share its GPUs", "[library]") {
  for (const int local_rank : {0, 1, 5}) CHECK(Device::cuda(local_rank) == kGpu);
  CHECK(minidl::describe(kGpu) == "cuda:0 (minidl emulated device)");
  CHECK(minidl::describe(minidl::cpu) == "cpu");
}

TEST_CASE("architectures run where CUDA says", "[library]") {
  struct Case {
    const char* built_for;
    int major, minor;
    const char* runs;  // "" if nothing does
  };
  const char* usual = "75-real;80;90a-real";
  const Case cases[] = {
      {usual, 7, 5, "7.5"},
      {usual, 7, 0, ""},
      {usual, 8, 0, "8.0"},
      {usual, 8, 9, "8.0"},
      {usual, 9, 0, "9.0a"},
      {usual, 10, 0, "8.0"},  // by its PTX
      {"75-real;90a-real", 10, 0, ""},
      {"90a-real", 8, 0, ""},
      {"90a", 10, 0, ""},
      {"90", 9, 0, "9.0"},
      {"90;90a-real", 9, 0, "9.0a"},
      {"75", 8, 0, "7.5"},
      {"80", 9, 0, "8.0"},
      {"80-virtual", 12, 0, "8.0"},
      {"80-real;86-real", 8, 9, "8.6"},
      {"80-real;86-virtual", 8, 6, "8.0"},
      {"80-real", 8, 6, "8.0"},
      {"86-real", 8, 0, ""},
      {"", 9, 0, ""},
  };
  for (const Case& c : cases) {
    INFO("built for " << c.built_for << ", device " << c.major << "." << c.minor);
    const auto code = code_for(c.built_for, c.major, c.minor);
    std::string runs;
    if (code) {
      runs = std::to_string(code->major) + "." + std::to_string(code->minor) +
             (code->specific ? "a" : "");
    }
    CHECK(runs == c.runs);
  }
}

TEST_CASE("devices count up to the first that cannot be used", "[library]") {
  const minidl::kernels::cuda::DeviceInfo good{"good", 9, 0, {}, ""};
  const minidl::kernels::cuda::DeviceInfo old{"old", 6, 0, {}, "too old"};
  CHECK(minidl::kernels::cuda::Discovery{{good, good}, ""}.usable() == 2);
  CHECK(minidl::kernels::cuda::Discovery{{good, old, good}, ""}.usable() == 1);
  CHECK(minidl::kernels::cuda::Discovery{{old}, "too old"}.usable() == 0);
}

TEST_CASE("nothing is allocated while a graph is captured", "[library][misuse]") {
  const Scene scene;
  const Stream stream = Stream::create(kGpu);
  const minidl::StreamGuard guard(kGpu, stream);
  auto* native = static_cast<cudaStream_t>(stream.native());
  auto& memory = minidl::allocator(kGpu);
  const std::size_t before = live_resources().device_blocks;
  Buffer freed(memory, 64, MemoryTag::activation);
  check(cudaStreamBeginCapture(native, cudaStreamCaptureModeThreadLocal));
  CHECK(stream.capturing());
  CHECK_THROWS_WITH(memory.allocate(100, MemoryTag::grad),
                    Contains("100 bytes (grad)") && Contains("while a graph is captured"));
  freed = Buffer();  // postponed
  CHECK(live_resources().device_blocks == before + 1);
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(native, &graph));  // the capture is intact
  check(cudaGraphDestroy(graph));
  const Buffer next(memory, 64, MemoryTag::activation);
  stream.synchronize();
  CHECK(live_resources().device_blocks == before + 1);
  CHECK(take_report().empty());
}

TEST_CASE("a missing wait between streams comes out as an Error", "[library][misuse]") {
  const Scene scene;
  const Stream other = Stream::create(kGpu);
  const float value = 1;
  {
    const Buffer buffer(minidl::allocator(kGpu), 64, MemoryTag::activation);
    minidl::kernels::transfer(buffer.data(), kGpu, &value, minidl::cpu, sizeof value, other);
    CHECK_THROWS_WITH(other.synchronize(), Contains("cudaStreamSynchronize(stream") &&
                                               Contains("belongs to cudaMallocAsync") &&
                                               Contains("cannot use the GPU any more"));
  }
  CHECK(device_lost());
}

TEST_CASE("errors of an earlier kernel name the call that found them", "[library][misuse]") {
  const Scene scene;
  const Stream stream = Stream::create(kGpu);
  enqueue(static_cast<cudaStream_t>(stream.native()),
          make_launch("wild", dim3(1), dim3(1), dim3(1), 0, fill_kernel,
                      static_cast<float*>(nullptr), 1.0F, 0));
  stream.synchronize();
  enqueue(static_cast<cudaStream_t>(stream.native()),
          make_launch("too_large", dim3(1), dim3(2000), dim3(1), 0, fill_kernel,
                      static_cast<float*>(nullptr), 1.0F, 0));
  CHECK_THROWS_WITH(stream.synchronize(),
                    Contains("too_large") && Contains("cudaErrorLaunchFailure"));
}

TEST_CASE("asking whether work is done leaves no error behind", "[library]") {
  const Scene scene(Streams::kLate);
  const Stream stream = Stream::create(kGpu);
  auto* native = static_cast<cudaStream_t>(stream.native());
  check(cudaLaunchHostFunc(
      native, [](void*) {}, nullptr));
  check(cudaLaunchHostFunc(
      native, [](void*) {}, nullptr));
  const minidl::Event event = stream.record();
  CHECK_FALSE(event.done());
  CHECK(cudaPeekAtLastError() == cudaSuccess);
  CHECK_FALSE(stream.done());
  CHECK(cudaPeekAtLastError() == cudaSuccess);
  stream.synchronize();
  CHECK(event.done());
}

TEST_CASE("an event that cannot be recorded is not left over", "[library][misuse]") {
  const Scene scene;
  cudaStream_t native = new_stream();
  const Stream borrowed = Stream::borrow(kGpu, native);
  check(cudaStreamDestroy(native));
  const std::size_t before = live_resources().events;
  CHECK_THROWS_WITH(borrowed.record(), Contains("cudaEventRecord(stream"));
  CHECK(live_resources().events == before);
  CHECK(cudaPeekAtLastError() == cudaSuccess);
}
