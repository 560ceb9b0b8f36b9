# shellcheck shell=bash
# What examples/quickstart, tests/run and .ci/run share: say what is missing, install it with apt,
# configure and build. To be sourced by a script that has set -euo pipefail.

# What minidl needs, one line each: Debian's package | how to see that it is there | what it is for.
# shellcheck disable=SC2034  # used by the scripts that source this file
build_needs=(
  'g++|program c++|a C++20 compiler: g++ 11 or newer, clang 14 or newer'
  'cmake|program cmake|CMake, 3.22 or newer'
  'ninja-build|program ninja|Ninja, which runs the compiler'
  'libdnnl-dev|header dnnl.hpp|oneDNN: matrix products and convolutions on the CPU'
  'libopenmpi-dev|program mpicc|Open MPI: training with several processes'
  'openmpi-bin|program mpirun|mpirun, which starts them'
  'libfmt-dev|header fmt/format.h|fmt: text'
  'nlohmann-json3-dev|header nlohmann/json.hpp|nlohmann-json: JSON files'
  'zlib1g-dev|header zlib.h|zlib: compressed datasets'
  'libcli11-dev|header CLI/CLI.hpp|CLI11: the command line of the examples'
)
# shellcheck disable=SC2034
test_needs=(
  'catch2|header catch2/catch.hpp catch2/catch_all.hpp|Catch2, version 2 or 3: the tests'
)

heading() {
  if [[ -t 1 ]]; then
    printf '\n\033[1m%s\033[0m\n' "$*"
  else
    printf '\n== %s\n' "$*"
  fi
}

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# is_there program NAME, file PATH or header PATH…: whether it, or one of the headers, is found.
is_there() {
  local header condition=0
  case $1 in
    program) command -v "$2" >/dev/null ;;
    file) [[ -e $2 ]] ;;
    header)
      for header in "${@:2}"; do condition+=" || __has_include(<$header>)"; done
      printf '#if !(%s)\n#error\n#endif\n' "$condition" | c++ -E -x c++ - >/dev/null 2>&1
      ;;
  esac
}

# install_missing NEED…: installs what is not there; says so first. Without apt it names what to
# install and ends if a program is missing; libraries may sit where only CMake finds them.
install_missing() {
  local need package probe purpose packages=() lines=() programs=0
  for need in "$@"; do
    IFS='|' read -r package probe purpose <<<"$need"
    # shellcheck disable=SC2086  # the probe is words on purpose
    if is_there $probe; then continue; fi
    packages+=("$package")
    lines+=("$(printf '  %-20s %s' "$package" "$purpose")")
    if [[ $probe == program* ]]; then programs=$((programs + 1)); fi
  done
  if ((${#packages[@]} == 0)); then
    echo "Nothing to install: everything needed is there."
    return
  fi

  if ! command -v apt-get >/dev/null; then
    echo "Not found (the names are Debian's, yours may differ):"
    printf '%s\n' "${lines[@]}"
    if ((programs > 0)); then
      die "there is no apt-get here: install these with your package manager, then run this again"
    fi
    echo "There is no apt-get here; going on, in case CMake finds these libraries."
    return
  fi

  echo "To be installed with apt-get, with what they depend on:"
  printf '%s\n' "${lines[@]}"
  local as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null ||
      die "needs root: as root, run  apt-get install ${packages[*]}  and then this again"
    as_root=(sudo)
  fi
  local log
  log=$(mktemp)
  as_root+=(env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=300)
  # An update that fails for a foreign source need not matter: the installation decides.
  "${as_root[@]}" update </dev/null >"$log" 2>&1 || true
  if ! "${as_root[@]}" install --no-install-recommends "${packages[@]}" \
    </dev/null >>"$log" 2>&1; then
    tail -n 30 "$log" >&2
    die "apt-get failed; its output is in $log"
  fi
  rm -f "$log"
  echo "Installed."
}

# One job per core, fewer where memory is short: a compiler takes up to 1.5 GB.
parallel_jobs() {
  local cores kilobytes by_memory
  cores=$(nproc)
  kilobytes=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
  by_memory=$((kilobytes / 1500000))
  echo $((by_memory < 1 ? 1 : by_memory < cores ? by_memory : cores))
}

# Open MPI starts nothing as root unless told twice, and no more processes than it counts cores,
# hyper-threads not included.
allow_mpi() {
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  export OMPI_MCA_rmaps_base_oversubscribe=1
}
