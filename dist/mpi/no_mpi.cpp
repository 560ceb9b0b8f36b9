// What stands in for dist/mpi where minidl is built without MPI.
#include "minidl/dist/mpi/mpi_communicator.h"
#include "minidl/kernels/common/error.h"

namespace minidl::dist {

std::unique_ptr<MpiCommunicator> MpiCommunicator::world(
    std::chrono::milliseconds, const std::function<void(const std::string&)>&) {
  throw Error(
      "minidl was built without MPI, so several processes cannot work together: start one without "
      "mpirun, or install MPI (libopenmpi-dev openmpi-bin) and build again with -DMINIDL_MPI=ON");
}

}  // namespace minidl::dist
