// Errors, and how a fiber reports one.
#include <cstdarg>
#include <cstdio>

#include "state.h"

namespace emu {
namespace {

std::string place(const std::string& kernel, uint3 block, uint3 thread) {
  char text[160];
  std::snprintf(text, sizeof text, " block (%u,%u,%u) thread (%u,%u,%u): ", block.x, block.y,
                block.z, thread.x, thread.y, thread.z);
  return kernel + text;
}

}  // namespace

Error::Error(std::string kernel, std::string message)
    : std::runtime_error(kernel.empty() ? message : kernel + ": " + message),
      kernel_(std::move(kernel)),
      message_(std::move(message)) {}

Error::Error(std::string kernel, uint3 block, uint3 thread, std::string message)
    : std::runtime_error(place(kernel, block, thread) + message),
      kernel_(std::move(kernel)),
      message_(std::move(message)),
      block_(block),
      thread_(thread),
      has_thread_(true) {}

void fail(const char* format, ...) {
  char text[1000];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);

  Execution& e = execution;
  const std::string kernel = e.cluster.launch != nullptr ? e.cluster.launch->kernel : "";
  auto error = current != nullptr ? std::make_unique<Error>(kernel, current->block_index,
                                                            current->thread_index, text)
                                  : std::make_unique<Error>(kernel, text);
  if (e.running == nullptr) throw Error(*error);

  // Never unwind a fiber: the compiler takes the hooks of the race checker for functions that do
  // not throw. The fiber is left where it is, and the scheduler throws.
  Fiber& fiber = *e.running;
  if (!e.error) e.error = std::move(error);
  error.reset();
  fiber.state = State::kEnded;
  leave(fiber.context, e.scheduler, true);
  __builtin_unreachable();
}

}  // namespace emu
