"""All bugs that `run` seeds. None was taken from the tests: each is a slip that its author thought
likely."""

from kernel_bugs import KERNELS
from runtime_bugs import RUNTIME

BUGS = KERNELS + RUNTIME
