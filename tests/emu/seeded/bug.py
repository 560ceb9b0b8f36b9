"""One bug: a text that replaces another."""

from dataclasses import dataclass


@dataclass
class Bug:
    name: str
    file: str
    old: str  # must be there exactly once
    new: str
    tests: str  # what Catch is to run
    program: str = "test_kernels"
    device: str = "cuda"
    ranks: int = 1

    def run(self):
        return self.program, self.tests, self.device, self.ranks
