#include <map>
#include <string>

#include "minidl/dist/launch.h"
#include "minidl/kernels/common/error.h"
#include "tests/catch.h"

namespace minidl::dist {
namespace {

GetEnv fake(const std::map<std::string, std::string>& variables) {
  return [variables](const char* name) -> const char* {
    const auto entry = variables.find(name);
    return entry == variables.end() ? nullptr : entry->second.c_str();
  };
}

TEST_CASE("without a launcher there is one process", "[launch]") {
  const LaunchEnv launch = read_launch_env(fake({}));
  CHECK(launch.rank == 0);
  CHECK(launch.size == 1);
  CHECK(launch.local_size == 1);
  CHECK_FALSE(launch.launched);
}

TEST_CASE("launchers are recognised by their variables", "[launch]") {
  const LaunchEnv open_mpi = read_launch_env(fake({{"OMPI_COMM_WORLD_RANK", "5"},
                                                   {"OMPI_COMM_WORLD_SIZE", "8"},
                                                   {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                                                   {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"},
                                                   {"PMI_RANK", "0"},
                                                   {"PMI_SIZE", "1"}}));
  CHECK(open_mpi.rank == 5);
  CHECK(open_mpi.size == 8);
  CHECK(open_mpi.local_rank == 1);
  CHECK(open_mpi.local_size == 4);
  CHECK(open_mpi.launched);

  const LaunchEnv hydra = read_launch_env(fake({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}}));
  CHECK(hydra.rank == 1);
  CHECK(hydra.local_rank == 1);
  CHECK(hydra.local_size == 2);
  CHECK(hydra.launched);
}

TEST_CASE("Slurm counts only inside a step", "[launch]") {
  std::map<std::string, std::string> variables{
      {"SLURM_PROCID", "3"}, {"SLURM_NTASKS", "7"}, {"SLURM_LOCALID", "1"}};
  CHECK_FALSE(read_launch_env(fake(variables)).launched);

  variables["SLURM_STEP_NUM_TASKS"] = "7";
  variables["SLURM_STEP_TASKS_PER_NODE"] = "2(x3),1";
  const LaunchEnv step = read_launch_env(fake(variables));
  CHECK(step.rank == 3);
  CHECK(step.size == 7);
  CHECK(step.local_rank == 1);
  CHECK(step.local_size == 2);
}

TEST_CASE("nonsense in the environment is an error that names the variable", "[launch]") {
  CHECK_THROWS_WITH(
      read_launch_env(fake({{"OMPI_COMM_WORLD_RANK", "one"}, {"OMPI_COMM_WORLD_SIZE", "2"}})),
      Contains("OMPI_COMM_WORLD_RANK=one"));
  CHECK_THROWS_WITH(
      read_launch_env(fake({{"OMPI_COMM_WORLD_RANK", "2"}, {"OMPI_COMM_WORLD_SIZE", "2"}})),
      Contains("no such rank"));
}

TEST_CASE("only the launcher's default binding is widened", "[launch]") {
  std::map<std::string, std::string> variables;
  CHECK_FALSE(bound_by_default(fake(variables)));
  variables["OMPI_MCA_orte_bound_at_launch"] = "1";
  CHECK(bound_by_default(fake(variables)));
  for (const char* wish :
       {"OMPI_MCA_hwloc_base_binding_policy", "OMPI_MCA_rmaps_base_mapping_policy",
        "OMPI_MCA_hwloc_base_cpu_set", "OMPI_MCA_orte_rankfile"}) {
    std::map<std::string, std::string> asked = variables;
    asked[wish] = "core";
    CHECK_FALSE(bound_by_default(fake(asked)));
  }
}

TEST_CASE("cores are shared among the ranks of a machine", "[launch]") {
  const LaunchEnv alone;
  const LaunchEnv two{.rank = 1, .size = 4, .local_rank = 1, .local_size = 2, .launched = true};
  const LaunchEnv eight{.size = 8, .local_size = 8, .launched = true};
  CpuSituation cores{.bound_cores = 4, .machine_cores = 4};

  CHECK(make_cpu_budget(alone, cores).threads == 4);
  CHECK(make_cpu_budget(alone, cores).summary == "4 cores for one process: 4 threads");
  CHECK(make_cpu_budget(two, cores).summary == "4 cores for 2 ranks: 2 threads each");
  CHECK(make_cpu_budget(eight, cores).summary == "4 cores for 8 ranks: 1 thread each");

  SECTION("a widened binding is named") {
    cores.widened = true;
    CHECK(make_cpu_budget(two, cores).summary ==
          "4 cores for 2 ranks: 2 threads each; the launcher's one-core binding was widened");
  }
  SECTION("a binding that was asked for is kept") {
    cores.bound_cores = 1;
    cores.bound_by_launcher = true;
    CHECK(make_cpu_budget(two, cores).summary ==
          "1 core for each rank: 1 thread each; bound by the launcher");
  }
  SECTION("ranks that are bound to one socket share it") {
    cores.bound_cores = 8;
    cores.machine_cores = 16;
    cores.bound_by_launcher = true;
    CHECK(make_cpu_budget(eight, cores).threads == 2);
  }
  SECTION("OMP_NUM_THREADS and the caller decide, the caller first") {
    cores.environment_threads = 3;
    CHECK(make_cpu_budget(two, cores).summary ==
          "4 cores for 2 ranks: 3 threads each, from OMP_NUM_THREADS");
    cores.requested_threads = 1;
    CHECK(make_cpu_budget(two, cores).summary == "4 cores for 2 ranks: 1 thread each, as asked");
  }
}

}  // namespace
}  // namespace minidl::dist
