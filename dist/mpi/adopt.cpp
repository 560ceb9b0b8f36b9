#include <memory>
#include <string>
#include <thread>

#include "minidl/core/threads.h"
#include "minidl/dist/mpi.h"
#include "minidl/dist/mpi/mpi_communicator.h"
#include "minidl/dist/timeout.h"
#include "minidl/kernels/common/check.h"

namespace minidl::dist::detail {
namespace {

constexpr const char* kName = "mpi_context";

void check_mpi(int code, const char* call) {
  check(code == MPI_SUCCESS, "{}: {} failed with error {}", kName, call, code);
}

const char* name_of_level(int level) {
  if (level == MPI_THREAD_SINGLE) return "MPI_THREAD_SINGLE";
  if (level == MPI_THREAD_FUNNELED) return "MPI_THREAD_FUNNELED";
  return "MPI_THREAD_SERIALIZED";
}

void check_level() {
  int initialized = 0;
  int finalized = 0;
  check_mpi(MPI_Initialized(&initialized), "MPI_Initialized");
  check_mpi(MPI_Finalized(&finalized), "MPI_Finalized");
  check(initialized != 0,
        "{}: MPI is not initialised; call MPI_Init_thread with MPI_THREAD_MULTIPLE before, or let "
        "dist::run do it all",
        kName);
  check(finalized == 0, "{}: MPI is finalised; the context must come before MPI_Finalize", kName);
  int level = 0;
  check_mpi(MPI_Query_thread(&level), "MPI_Query_thread");
  check(level == MPI_THREAD_MULTIPLE,
        "{}: MPI was initialised with {}, and minidl calls it from a thread of its own: initialise "
        "it with MPI_Init_thread and MPI_THREAD_MULTIPLE",
        kName, name_of_level(level));
}

void check_communicator(MPI_Comm communicator) {
  check(communicator != MPI_COMM_NULL,
        "{}: the communicator is MPI_COMM_NULL, as this process is not part of it", kName);
  int is_inter = 0;
  check_mpi(MPI_Comm_test_inter(communicator, &is_inter), "MPI_Comm_test_inter");
  check(is_inter == 0, "{}: the communicator connects two groups of processes; merge them first",
        kName);
}

// What MPI_Comm_dup does, but not for ever.
MPI_Comm duplicate(MPI_Comm communicator, std::chrono::milliseconds timeout) {
  MPI_Comm copy = MPI_COMM_NULL;
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Comm_idup(communicator, &copy, &request), "MPI_Comm_idup");
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (int done = 0; done == 0;) {
    check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test");
    if (done != 0) break;
    check(std::chrono::steady_clock::now() < deadline,
          "{}: not all processes of the communicator have called it within {:g} s", kName,
          std::chrono::duration<double>(timeout).count());
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  check_mpi(MPI_Comm_set_errhandler(copy, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  return copy;
}

LaunchEnv place_in(MPI_Comm communicator) {
  LaunchEnv launch = read_launch_env();
  check_mpi(MPI_Comm_rank(communicator, &launch.rank), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(communicator, &launch.size), "MPI_Comm_size");
  if (launch.launched) return launch;
  MPI_Comm machine = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(communicator, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine),
            "MPI_Comm_split_type");
  check_mpi(MPI_Comm_rank(machine, &launch.local_rank), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(machine, &launch.local_size), "MPI_Comm_size");
  check_mpi(MPI_Comm_free(&machine), "MPI_Comm_free");
  return launch;
}

}  // namespace

Context adopt(const void* communicator, std::size_t handle_bytes,
              const MpiContextOptions& options) {
  check(handle_bytes == sizeof(MPI_Comm),
        "{}: this program was compiled with another MPI than minidl, whose MPI_Comm has {} bytes",
        kName, sizeof(MPI_Comm));
  check(options.threads >= 0, "{}: threads must be positive, or 0 to leave them, not {}", kName,
        options.threads);
  const auto timeout = effective_timeout(options.timeout, "MpiContextOptions::timeout");
  check_level();
  check_communicator(*static_cast<const MPI_Comm*>(communicator));
  MPI_Comm own = duplicate(*static_cast<const MPI_Comm*>(communicator), timeout);
  const LaunchEnv launch = place_in(own);
  if (options.threads > 0) set_num_threads(options.threads);
  const CpuBudget cpu{.threads = num_threads(),
                      .summary = fmt::format("CPU threads: {}", num_threads())};
  return {std::shared_ptr<Communicator>(MpiCommunicator::adopt(&own, timeout)), launch, cpu};
}

}  // namespace minidl::dist::detail
