#include "minidl/dist/timeout.h"

#include <cstdint>
#include <cstdlib>

#include "minidl/kernels/common/check.h"

namespace minidl::dist {

std::chrono::milliseconds effective_timeout(std::chrono::milliseconds timeout, const char* option) {
  constexpr double kLongest = 1e8;  // three years; far larger ones overflow the clock
  double seconds = std::chrono::duration<double>(timeout).count();
  const char* text = std::getenv("MINIDL_TIMEOUT");
  if (text != nullptr) {
    char* end = nullptr;
    seconds = std::strtod(text, &end);
    check(end != text && *end == '\0', "MINIDL_TIMEOUT={}: not a number of seconds", text);
  }
  check(seconds >= 1e-3 && seconds <= kLongest,
        "{}: a timeout of {} s is out of range; it must be from 0.001 to {:.0f} seconds",
        text != nullptr ? "MINIDL_TIMEOUT" : option, seconds, kLongest);
  return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1e3));
}

}  // namespace minidl::dist
