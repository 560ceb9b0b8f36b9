#include "minidl/dist/launch.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "minidl/kernels/common/check.h"
#include "minidl/kernels/common/parallel.h"

namespace minidl::dist {
namespace {

std::optional<int> read_count(const GetEnv& env, const char* name) {
  const char* text = env(name);
  if (text == nullptr) return std::nullopt;
  int value = 0;
  const char* end = text + std::strlen(text);
  const auto [last, error] = std::from_chars(text, end, value);
  // Slurm writes "2(x3),1" for two tasks on each of three machines and one on the last.
  check(error == std::errc() && (last == end || *last == '(' || *last == ',') && value >= 0,
        "{}={}: the launcher's environment variable is not a number of processes", name, text);
  return value;
}

struct LauncherNames {
  const char* rank;
  const char* size;
  const char* local_rank;
  const char* local_size;
};

constexpr LauncherNames kOpenMpi{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
                                 "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"};
constexpr LauncherNames kHydra{"PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"};
// The size is the step's: outside of a step, in a batch script, only the job's variables are set.
constexpr LauncherNames kSlurm{"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID",
                               "SLURM_STEP_TASKS_PER_NODE"};

std::optional<LaunchEnv> read_launcher(const GetEnv& env, const LauncherNames& names) {
  const std::optional<int> rank = read_count(env, names.rank);
  const std::optional<int> size = read_count(env, names.size);
  if (!rank || !size) return std::nullopt;
  check(*rank < *size, "{}={} and {}={}: there is no such rank", names.rank, *rank, names.size,
        *size);
  LaunchEnv launch{.rank = *rank, .size = *size, .launched = true};
  // Launchers that do not tell are taken to fill one machine.
  launch.local_rank = read_count(env, names.local_rank).value_or(*rank);
  launch.local_size = std::max(read_count(env, names.local_size).value_or(*size), 1);
  return launch;
}

int bound_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof cores, &cores) != 0) return 1;
  return std::max(CPU_COUNT(&cores), 1);
}

// Asks for every core there is; the kernel leaves out those that are not ours to use.
bool widen_binding() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  for (std::size_t core = 0; core < CPU_SETSIZE; ++core) CPU_SET(core, &cores);
  return sched_setaffinity(0, sizeof cores, &cores) == 0;
}

int environment_threads(const GetEnv& env) {
  const char* text = env("OMP_NUM_THREADS");
  // A list sets one number per nesting level; the first one is ours.
  return text == nullptr ? 0 : std::max(std::atoi(text), 0);
}

std::string plural(int count, const char* noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

}  // namespace

GetEnv process_environment() {
  return [](const char* name) { return std::getenv(name); };
}

LaunchEnv read_launch_env(const GetEnv& env) {
  for (const LauncherNames& names : {kOpenMpi, kHydra, kSlurm}) {
    if (const std::optional<LaunchEnv> launch = read_launcher(env, names)) return *launch;
  }
  return {};
}

CpuBudget make_cpu_budget(const LaunchEnv& launch, const CpuSituation& situation) {
  const int cores = situation.bound_cores;
  // A launcher's binding may belong to this rank alone or be shared with others on a socket.
  const int share = situation.bound_by_launcher
                        ? std::min(cores, situation.machine_cores / launch.local_size)
                        : cores / launch.local_size;
  CpuBudget budget{.threads = std::max(share, 1), .summary = {}};
  const char* reason = "";
  if (situation.requested_threads > 0) {
    budget.threads = situation.requested_threads;
    reason = ", as asked";
  } else if (situation.environment_threads > 0) {
    budget.threads = situation.environment_threads;
    reason = ", from OMP_NUM_THREADS";
  }

  std::string whose = "one process";
  if (launch.launched) whose = plural(launch.local_size, "rank");
  if (situation.bound_by_launcher) whose = "each rank";
  budget.summary =
      fmt::format("{} for {}: {}{}{}", plural(cores, "core"), whose,
                  plural(budget.threads, "thread"), launch.local_size > 1 ? " each" : "", reason);
  if (situation.widened) {
    budget.summary += "; the launcher's one-core binding was widened";
  } else if (situation.bound_by_launcher) {
    budget.summary += "; bound by the launcher";
  }
  return budget;
}

bool bound_by_default(const GetEnv& env) {
  if (env("OMPI_MCA_orte_bound_at_launch") == nullptr) return false;
  // mpirun hands on what its command line said about placement: --bind-to, --map-by, --cpu-set,
  // --rankfile and the older spellings.
  for (const char* name :
       {"OMPI_MCA_hwloc_base_binding_policy", "OMPI_MCA_rmaps_base_mapping_policy",
        "OMPI_MCA_hwloc_base_cpu_set", "OMPI_MCA_orte_rankfile", "OMPI_MCA_hwloc_base_bind_to_core",
        "OMPI_MCA_rmaps_base_cpus_per_rank"}) {
    if (env(name) != nullptr) return false;
  }
  return true;
}

CpuBudget apply_cpu_budget(const LaunchEnv& launch, int requested_threads, const GetEnv& env) {
  check(requested_threads >= 0, "threads must be positive, or 0 for automatic, not {}",
        requested_threads);
  CpuSituation situation;
  situation.widened = bound_by_default(env) && widen_binding();
  situation.bound_by_launcher =
      !situation.widened && env("OMPI_MCA_orte_bound_at_launch") != nullptr;
  situation.bound_cores = bound_cores();
  situation.machine_cores = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  situation.requested_threads = requested_threads;
  situation.environment_threads = environment_threads(env);
  const CpuBudget budget = make_cpu_budget(launch, situation);
  kernels::set_num_threads(budget.threads);
  return budget;
}

}  // namespace minidl::dist
