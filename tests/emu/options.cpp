// The environment variables that choose how kernels are executed.
#include <cerrno>
#include <cstdlib>
#include <string_view>

#include "engine.h"

namespace emu {
namespace {

std::string_view variable(const char* name) {
  const char* text = std::getenv(name);
  return text != nullptr ? text : "";
}

[[noreturn]] void refuse(const char* name, std::string_view text, const std::string& allowed) {
  throw Error("", std::string(name) + "=" + std::string(text) + " is not " + allowed);
}

unsigned long number(const char* name, unsigned long otherwise, unsigned long low,
                     unsigned long high) {
  const std::string text(variable(name));
  if (text.empty()) return otherwise;
  char* end = nullptr;
  errno = 0;
  const unsigned long value = std::strtoul(text.c_str(), &end, 0);
  if (errno != 0 || *end != '\0' || text[0] == '-' || value < low || value > high) {
    refuse(name, text, "a number from " + std::to_string(low) + " to " + std::to_string(high));
  }
  return value;
}

Order order(Order otherwise) {
  const std::string_view text = variable("MINIDL_EMU_ORDER");
  if (text.empty()) return otherwise;
  if (text == "forward") return Order::kForward;
  if (text == "reverse") return Order::kReverse;
  if (text == "random") return Order::kRandom;
  refuse("MINIDL_EMU_ORDER", text, "forward, reverse or random");
}

Completion completion(Completion otherwise) {
  const std::string_view text = variable("MINIDL_EMU_ASYNC");
  if (text.empty()) return otherwise;
  if (text == "late") return Completion::kLate;
  if (text == "eager") return Completion::kEager;
  if (text == "random") return Completion::kRandom;
  refuse("MINIDL_EMU_ASYNC", text, "late, eager or random");
}

// The three that tests run in.
Options schedule() {
  const std::string_view text = variable("MINIDL_EMU_SCHEDULE");
  Options options;
  if (text.empty() || text == "forward") return options;
  if (text == "reverse") {
    options.order = Order::kReverse;
    options.completion = Completion::kEager;
    options.poison = 0x5a;
  } else if (text == "random") {
    options.order = Order::kRandom;
    options.completion = Completion::kRandom;
  } else {
    refuse("MINIDL_EMU_SCHEDULE", text, "forward, reverse or random");
  }
  return options;
}

Options from_environment() {
  Options options = schedule();
  options.order = order(options.order);
  options.completion = completion(options.completion);
  options.seed = static_cast<std::uint32_t>(number("MINIDL_EMU_SEED", 1, 0, 0xffffffff));
  options.poison = static_cast<std::uint8_t>(number("MINIDL_EMU_POISON", options.poison, 0, 0xff));
  options.stack_bytes = number("MINIDL_EMU_STACK", 0, 16, 64 * 1024) * 1024;
  options.hang_seconds = static_cast<unsigned>(number("MINIDL_EMU_HANG", 20, 1, 100000));
  return options;
}

}  // namespace

Options& options() {
  static Options options = from_environment();
  return options;
}

}  // namespace emu
