// The shim's options and where they come from.

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "runtime.h"

namespace emu {
namespace {

std::string environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : value;
}

[[noreturn]] void refuse(const char* name, const std::string& value, const char* allowed) {
  throw std::runtime_error(std::string(name) + "=" + value + ": write " + allowed);
}

unsigned long number(const char* name, const char* otherwise) {
  const std::string text = environment(name, otherwise);
  char* end = nullptr;
  const unsigned long value = std::strtoul(text.c_str(), &end, 0);
  if (*end != '\0' || text[0] == '-') refuse(name, text, "a number");
  return value;
}

RuntimeOptions from_environment() {
  RuntimeOptions options;

  const std::string streams = environment("MINIDL_EMU_STREAMS", "late");
  if (streams == "eager") {
    options.streams = Streams::kEager;
  } else if (streams == "random") {
    options.streams = Streams::kRandom;
  } else if (streams != "late") {
    refuse("MINIDL_EMU_STREAMS", streams, "late, eager or random");
  }

  const std::string machine = environment("MINIDL_EMU_MACHINE", "device");
  if (machine == "no-device") {
    options.machine = Machine::kNoDevice;
  } else if (machine == "no-driver") {
    options.machine = Machine::kNoDriver;
  } else if (machine != "device") {
    refuse("MINIDL_EMU_MACHINE", machine, "device, no-device or no-driver");
  }

  const std::string capability = environment("MINIDL_EMU_CC", "9.0");
  char rest = 0;
  if (std::sscanf(capability.c_str(), "%d.%d%c", &options.compute_major, &options.compute_minor,
                  &rest) != 2) {
    refuse("MINIDL_EMU_CC", capability, "a compute capability, 8.0 for example");
  }

  const std::string races = environment("MINIDL_EMU_RACES", "on");
  if (races != "on" && races != "off") refuse("MINIDL_EMU_RACES", races, "on or off");
  options.report_races = races == "on";

  options.seed = static_cast<std::uint32_t>(number("MINIDL_EMU_SEED", "1"));
  options.memory_bytes = number("MINIDL_EMU_MEMORY", "4096") << 20;
  return options;
}

}  // namespace

RuntimeOptions& runtime_options() {
  static RuntimeOptions options = from_environment();
  return options;
}

}  // namespace emu
