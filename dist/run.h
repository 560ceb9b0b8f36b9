// The frame of a program: joins the job at its start and ends it, well or badly.
#pragma once

#include <chrono>
#include <functional>

#include "minidl/dist/context.h"

namespace minidl::dist {

struct RunOptions {
  /// How long a rank waits for the others in a collective, from the moment when all collectives
  /// before it are through. Then it gives up and takes the job down, whatever its program is doing
  /// at that time. The environment variable MINIDL_TIMEOUT, in seconds, overrides it.
  std::chrono::milliseconds timeout = std::chrono::seconds(300);
  /// CPU threads of each rank; 0 shares the machine's cores out among its ranks.
  int threads = 0;
};

/// Calls `body` on every rank and returns the program's exit code: 0 if all went well everywhere. A
/// single process never touches MPI. An exception that leaves `body` is printed, as "error: ..." by
/// one process and "[rank 1] ..." by several, and takes all other ranks down within seconds,
/// whatever they are doing. Call it once, from main:
///
///     int main(int argc, char** argv) { return dl::dist::run(argc, argv, train); }
int run(int argc, char** argv, const std::function<void(Context&)>& body,
        const RunOptions& options = {});

}  // namespace minidl::dist
