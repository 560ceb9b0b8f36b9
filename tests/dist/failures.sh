#!/usr/bin/env bash
# Starts failing_program in every way that a job can go wrong and checks that all of its processes
# end soon, with a bad exit code and a message that says why.
#
#   tests/dist/failures.sh PROGRAM MPIEXEC [ARGUMENT…]   for example … mpirun --oversubscribe
set -uo pipefail
program=$1
shift
launcher=("$@")
failures=0

# The launcher may take a while to start everybody on a busy machine; what must be quick is the end.
patience=20

complain() {
  echo "FAILED: $*"
  echo "$output"
  failures=$((failures + 1))
}

# launch RANKS NAME: runs it; sets output and status.
launch() {
  output=$(timeout --kill-after=1 "$patience" "${launcher[@]}" -np "$1" "$program" "$2" 2>&1)
  status=$?
  echo "$2, $1 ranks: exit code $status"
  if ((status == 124 || status == 137)) && [[ $2 != "last is killed" ]]; then
    complain "'$2' with $1 ranks was still running after $patience s"
  fi
}

# expect_success RANKS NAME: the job must end well and say nothing.
expect_success() {
  launch "$1" "$2"
  if ((status != 0)) || [[ -n $output ]]; then complain "'$2' with $1 ranks"; fi
}

# expect RANKS NAME MESSAGE: the job must fail and say this, once.
expect() {
  launch "$1" "$2"
  ((status != 0)) || complain "'$2' with $1 ranks ended with 0"
  if [[ -n $3 ]] && (($(grep -cF -- "$3" <<<"$output") != 1)); then
    complain "'$2' with $1 ranks did not say '$3' exactly once"
  fi
}

# expect_within SECONDS …: the same, and the whole job takes no longer.
expect_within() {
  local limit=$1 start=$SECONDS
  shift
  expect "$@"
  if ((SECONDS - start > limit)); then
    complain "'$2' with $1 ranks took $((SECONDS - start)) s"
  fi
}

export MINIDL_TIMEOUT=60
for ranks in 1 2 3; do expect_success "$ranks" "succeed"; done

expect 1 "all throw" "error: no folder called 'data'"
expect 1 "out of memory" "error: out of memory"
expect 1 "throw an int" "error: an exception that is not a std::exception"
for ranks in 2 3; do
  last=$((ranks - 1))
  expect_within 10 "$ranks" "all throw" "no folder called 'data'"
  expect_within 10 "$ranks" "main throws" "[rank 0] only the main rank fails"
  expect_within 10 "$ranks" "last throws" "[rank $last] only the last rank fails"
  expect_within 10 "$ranks" "last throws while others compute" "[rank $last] only the last"
  expect_within 10 "$ranks" "last has a label that does not exist" "cross_entropy: the target"
  expect_within 10 "$ranks" "last is killed" ""
  expect_within 10 "$ranks" "last exits with 0" ""
  expect_within 10 "$ranks" "last exits with 3" ""
done

export MINIDL_TIMEOUT=1.5
expect_within 10 2 "last never joins" "not finished after 1.5 s; waits for rank 1"
expect_within 10 2 "last returns early" "not finished after 1.5 s; waits for rank 1"
expect_within 10 3 "last never joins" "not finished after 1.5 s; waits for rank 2"

bucket="gradients of hidden.weight ... head.bias, 4 gradients, bucket 1 of 1"
expect_within 10 2 "last leaves out a backward" "$bucket) on rank 0 of 2: not finished after 1.5 s"

# Nobody waits for the collective that cannot finish: the job ends all the same.
export MINIDL_TIMEOUT=1
sleeping="last leaves out a collective while others sleep"
sum="[rank 0] all_reduce #0 (5 f32: a sum that nobody asks for)"
expect_within 10 2 "$sleeping" "$sum on rank 0 of 2: not finished after 1 s; waits for rank 1"
expect_within 10 3 "$sleeping" "$sum on rank 0 of 3: not finished after 1 s; waits for rank 2"

# Slow is not dead: three waits of almost a second each, started without waiting in between.
export MINIDL_TIMEOUT=2
expect_success 2 "last is slow"

export MINIDL_TIMEOUT=soon
expect 2 "succeed" "MINIDL_TIMEOUT=soon: not a number of seconds"
export MINIDL_TIMEOUT=-1
expect 2 "succeed" "a timeout of -1 s is out of range"

exit $((failures > 0))
