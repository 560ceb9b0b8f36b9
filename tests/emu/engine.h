// The emulator as the launch layer and the CUDA runtime shim see it: a launch is a value, run()
// executes it to the end on the calling thread. README.md explains how.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace emu {

/// Which blocks, warps and lanes go first.
enum class Order { kForward, kReverse, kRandom };

/// When asynchronous copies and products happen: at once, as late as their waits allow, or either.
enum class Completion { kEager, kLate, kRandom };

/// How kernels are executed. Read from the environment when first used:
///   MINIDL_EMU_SCHEDULE  forward (and late) | reverse (and eager, poison 0x5a) | random: the three
///                        that tests run in; the variables below go before it
///   MINIDL_EMU_ORDER   forward | reverse | random
///   MINIDL_EMU_ASYNC   late | eager | random
///   MINIDL_EMU_SEED    of both kinds of random
///   MINIDL_EMU_POISON  one byte, 0x5a for example: fresh shared memory is filled with it
///   MINIDL_EMU_STACK   KiB of stack per CUDA thread
///   MINIDL_EMU_HANG    seconds of CPU time after which a thread that reaches nothing hangs
/// Anything else in them is an Error that lists what may be there.
struct Options {
  Order order = Order::kForward;
  Completion completion = Completion::kLate;
  std::uint32_t seed = 1;
  std::uint8_t poison = 0xff;   ///< 0xff… is NaN in f16, bf16, f32 and f64
  std::size_t stack_bytes = 0;  ///< 0: 64 KiB, with AddressSanitizer 256 KiB
  unsigned hang_seconds = 20;
};

/// Changes hold from the next run() on.
Options& options();

/// A mistake of the kernel or of the launch. what() is "KERNEL block (x,y,z) thread (x,y,z): …";
/// the block and the thread are left out where it is not one thread's mistake (a deadlock, a grid
/// that is too large).
class Error : public std::runtime_error {
 public:
  Error(std::string kernel, std::string message);
  Error(std::string kernel, uint3 block, uint3 thread, std::string message);

  const std::string& kernel() const { return kernel_; }
  const std::string& message() const { return message_; }  ///< what() without the place
  bool has_thread() const { return has_thread_; }
  uint3 block() const { return block_; }
  uint3 thread() const { return thread_; }

 private:
  std::string kernel_, message_;
  uint3 block_{}, thread_{};
  bool has_thread_ = false;
};

/// One kernel launch. Copying it copies the kernel's arguments; nothing in it refers to the caller.
struct Launch {
  std::string kernel;  ///< its name in messages
  dim3 grid, block, cluster;
  std::size_t shared_bytes = 0;  ///< dynamic shared memory of a block
  std::function<void()> body;    ///< runs the kernel for the CUDA thread that is current
};

/// The launch of `kernel` with copies of `arguments`, converted to its parameter types. Each CUDA
/// thread gets parameters of its own, as on the device.
template <class... Parameters, class... Arguments>
Launch make_launch(std::string name, dim3 grid, dim3 block, dim3 cluster, std::size_t shared_bytes,
                   void (*kernel)(Parameters...), Arguments&&... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments), "wrong number of arguments");
  std::tuple<std::decay_t<Parameters>...> frozen(std::forward<Arguments>(arguments)...);
  auto body = [kernel, frozen = std::move(frozen)] { std::apply(kernel, frozen); };
  return {std::move(name), grid, block, cluster, shared_bytes, std::move(body)};
}

/// Executes the launch to its end; no other launch runs meanwhile, whichever thread asks. Throws
/// Error at the first mistake; what the kernel has written by then stays written.
void run(const Launch& launch);

/// Called by run() right before the first CUDA thread starts and after the last one has ended, also
/// when the kernel failed. The runtime shim opens and closes device memory in them. Null: none.
using LaunchHook = std::function<void(const Launch&)>;
void set_launch_hooks(LaunchHook before, LaunchHook after);

/// True while the calling thread executes a kernel: runtime calls from there are mistakes.
bool in_kernel();

/// Queues the launch on a stream. Null, or why it was refused, in the words of cudaGetErrorString.
/// The runtime shim (runtime/) defines it; the engine never calls it.
const char* enqueue(cudaStream_t stream, Launch launch);

}  // namespace emu
