"""One map in a fresh process: ``python benchmarks/cold.py ours|transformers FOLDER``.

Prints when the map was there, in seconds since the epoch, and the most memory that the process had
held by then, in bytes.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from implementations import OURS, Ours, Reference, new_image

STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Cold:
    """Seconds from the start of the process to its first map, and the most bytes it held."""

    seconds: float
    peak: int


def run_cold(implementation: str, folder: Path) -> Cold:
    """Start a process that makes one map, and wait for it."""
    began = time.time()
    command = [sys.executable, __file__, implementation, str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    there, peak = done.stdout.split()[-2:]
    return Cold(float(there) - began, int(peak))


def peak_bytes() -> int:
    """Return the most memory that this process has held.

    Not ``ru_maxrss`` on Linux: it holds what the parent had when it started this process.
    """
    if STATUS.exists():
        lines = STATUS.read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


if __name__ == "__main__":
    make = Ours if sys.argv[1] == OURS else Reference
    make(Path(sys.argv[2]))(new_image(), ["red rings"])
    print(time.time(), peak_bytes())
