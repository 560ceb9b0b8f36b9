// Runs cases in a process of their own, so that one that dies or hangs costs one line of the table.
#pragma once

#include <string>

#include "case.h"

namespace minidl::conformance {

/// Runs all of them and appends their records to `file`. A case that takes longer than
/// `limit_seconds`, or ends its process, is recorded as such; the next ones run in a new process.
/// Returns how many gave no answer.
int run_cases(const Cases& cases, const std::string& file, double limit_seconds);

}  // namespace minidl::conformance
