// minidl in a program that uses MPI itself. The only header that needs mpi.h, and therefore not in
// <minidl/minidl.h>; programs that include it link their MPI, which must be the one that minidl was
// built with.
#pragma once

#include <chrono>
#include <cstddef>

#include <mpi.h>

#include "minidl/dist/context.h"

namespace minidl::dist {

struct MpiContextOptions {
  /// How long a rank waits for the others in a collective, from the moment when all collectives
  /// before it are through, and in mpi_context itself. MINIDL_TIMEOUT, in seconds, overrides it.
  std::chrono::milliseconds timeout = std::chrono::seconds(300);
  /// CPU threads of this process; 0 leaves them as they are.
  int threads = 0;
};

namespace detail {

Context adopt(const void* communicator, std::size_t handle_bytes, const MpiContextOptions& options);

}  // namespace detail

/// A context on the processes of `communicator`, in place of dist::run; all of them must call it.
/// MPI_COMM_WORLD, or a part of it, which then trains by itself:
///
///     int level = 0;
///     MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &level);
///     {
///       MPI_Comm half;
///       MPI_Comm_split(MPI_COMM_WORLD, rank % 2, rank, &half);
///       dl::dist::Context world = dl::dist::mpi_context(half);
///       dl::dist::DataParallel model(net, world);
///       …
///     }
///     MPI_Finalize();
///
/// - MPI stays the program's: it is initialised before and finalised after, by the program. Level
///   MPI_THREAD_MULTIPLE is needed, because minidl makes its calls from a thread of its own.
/// - Messages travel on a duplicate of the communicator, which may be used, and freed, meanwhile.
/// - The last copy of the context, which must go before MPI_Finalize, frees the duplicate. All
///   processes let go of theirs at about the same time, as MPI_Comm_free has it.
/// - The processes' CPU bindings are left alone. local_rank() counts among all processes that the
///   launcher started on the machine, where it says so: two halves do not choose the same GPU.
/// - Failures are thrown and nothing more: MPI_Abort is never called. A collective that is late, or
///   fails, throws Error where its result is waited for, and so do all later ones of this context.
///   The program may make a new one, if all ranks agree to, or end. Messages that never arrived
///   keep their memory, and some MPIs wait for them in MPI_Finalize: a rank that is gone takes
///   MPI_Abort to end the others.
///
/// Throws Error if MPI is not initialised, is finalised, or has a lower level; if the communicator
/// is null or connects two groups; if not all processes call it in time; and where minidl was built
/// without MPI.
inline Context mpi_context(MPI_Comm communicator, const MpiContextOptions& options = {}) {
  return detail::adopt(&communicator, sizeof(MPI_Comm), options);
}

}  // namespace minidl::dist
