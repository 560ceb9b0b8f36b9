// What stands in for dist/mpi where minidl is built without MPI.
#include <cstddef>

#include "minidl/dist/context.h"
#include "minidl/dist/mpi/mpi_communicator.h"
#include "minidl/kernels/common/error.h"

namespace minidl::dist {
namespace {

[[noreturn]] void refuse() {
  throw Error(
      "minidl was built without MPI, so several processes cannot work together: start one without "
      "mpirun, or install MPI (libopenmpi-dev openmpi-bin) and build again with -DMINIDL_MPI=ON");
}

}  // namespace

std::unique_ptr<MpiCommunicator> MpiCommunicator::world(
    std::chrono::milliseconds, const std::function<void(const std::string&)>&) {
  refuse();
}

// Declared in dist/mpi.h, which cannot be included here.
struct MpiContextOptions;
namespace detail {
Context adopt(const void* communicator, std::size_t handle_bytes, const MpiContextOptions& options);
Context adopt(const void* /*communicator*/, std::size_t /*handle_bytes*/,
              const MpiContextOptions& /*options*/) {
  refuse();
}
}  // namespace detail

}  // namespace minidl::dist
