// What the launcher (mpirun, srun) has told this process, and its share of the machine's cores.
#pragma once

#include <functional>
#include <string>

namespace minidl::dist {

/// Looks up an environment variable; null if it is not set. Tests pass their own.
using GetEnv = std::function<const char*(const char* name)>;
GetEnv process_environment();

/// This process' place in its job.
struct LaunchEnv {
  int rank = 0;
  int size = 1;
  int local_rank = 0;     ///< among the processes on this machine
  int local_size = 1;     ///< processes on this machine
  bool launched = false;  ///< whether a launcher started it
};

/// Reads what Open MPI, MPICH and its kin (Hydra), or Slurm's srun put into the environment.
/// Touches no MPI. Throws Error naming the variable if one does not make sense.
LaunchEnv read_launch_env(const GetEnv& env = process_environment());

/// The CPU threads of this process.
struct CpuBudget {
  int threads = 1;
  std::string summary;  ///< "4 cores for 2 ranks: 2 threads each", and what was done about bindings
};

/// What is known about the cores before the budget is made.
struct CpuSituation {
  int bound_cores = 1;             ///< that this process may run on
  int machine_cores = 1;           ///< that the machine has
  bool bound_by_launcher = false;  ///< bound_cores is the launcher's choice
  bool widened = false;            ///< the launcher's default binding was lifted
  int requested_threads = 0;       ///< by the caller; 0 is automatic
  int environment_threads = 0;     ///< OMP_NUM_THREADS; 0 if it is not set
};

/// Shares the cores out: what the caller or OMP_NUM_THREADS asks for, or an equal part for every
/// process on the machine.
CpuBudget make_cpu_budget(const LaunchEnv& launch, const CpuSituation& situation);

/// Whether the launcher bound this process by its own default and not because the user asked. Open
/// MPI gives each of one or two processes a single core, which leaves threads nothing to run on.
bool bound_by_default(const GetEnv& env = process_environment());

/// Lifts a default binding, makes the budget and sets the number of threads of the CPU kernels.
/// Threads that are already running keep their binding: call it first thing.
CpuBudget apply_cpu_budget(const LaunchEnv& launch, int requested_threads,
                           const GetEnv& env = process_environment());

}  // namespace minidl::dist
