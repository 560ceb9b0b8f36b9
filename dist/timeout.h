// How long a collective may take. Not part of the public interface.
#pragma once

#include <chrono>

namespace minidl::dist {

/// MINIDL_TIMEOUT, in seconds, if it is set, and `timeout` if not. Throws Error where it is out of
/// range; `option` is what the message calls the latter.
std::chrono::milliseconds effective_timeout(std::chrono::milliseconds timeout, const char* option);

}  // namespace minidl::dist
