// What tests and the rest of the emulator may ask of the CUDA runtime shim. Programs and the
// library never include this: they call the CUDA runtime's own functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace emu {

/// When queued work runs.
enum class Streams {
  kEager,  ///< as soon as it is issued
  kLate,   ///< when somebody waits for it, and then no more of it than he waits for
  kRandom  ///< anything in between, streams interleaved
};

/// What the emulated machine has to offer.
enum class Machine {
  kDevice,    ///< one device
  kNoDevice,  ///< a driver, but no device (cudaErrorNoDevice)
  kNoDriver,  ///< no driver (cudaErrorInsufficientDriver, 35)
};

/// How the shim behaves. Read from the environment when first used:
///   MINIDL_EMU_STREAMS  late | eager | random
///   MINIDL_EMU_SEED     of random
///   MINIDL_EMU_MACHINE  device | no-device | no-driver
///   MINIDL_EMU_CC       the compute capability that the device claims, 9.0 for example
///   MINIDL_EMU_MEMORY   MiB of device memory
///   MINIDL_EMU_RACES    on | off: report accesses that no event or synchronisation orders
struct RuntimeOptions {
  Streams streams = Streams::kLate;
  std::uint32_t seed = 1;
  Machine machine = Machine::kDevice;
  int compute_major = 9, compute_minor = 0;
  std::size_t memory_bytes = std::size_t{4} << 30;
  bool report_races = true;
};

/// Changes hold from the next call on.
RuntimeOptions& runtime_options();

/// Runs one queued operation that may run; false if there is none. For loops in which the host
/// waits for something that is not CUDA's: a real device would go on meanwhile.
bool drain_some();

/// The first mistake since the last call, "" if there was none; it was printed to stderr, too.
std::string take_report();

/// Whether a mistake has ended the device: every call returns its error, as on the real one.
bool device_lost();

/// Forgets what is queued, captured and reported, and the error that ended the device. Memory and
/// handles stay valid.
void reset_device();

/// What is alive now.
struct LiveResources {
  std::size_t device_blocks = 0, device_bytes = 0;
  std::size_t pinned_blocks = 0, pinned_bytes = 0;
  std::size_t streams = 0, events = 0, graphs = 0;
};
LiveResources live_resources();

/// One line per block of device memory that has not been freed; "" if there is none. Printed at
/// exit.
std::string leak_report();

}  // namespace emu
