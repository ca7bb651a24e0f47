"""The process that reads one file: the file on stdin, frames on stdout. It imports nothing of the API but this package.

``python -m services.api.students.import_files.worker '{"name": …, "mapping": …, "header_row": …, "sheet": …}'``
"""

import json
import os
import resource
import sys
import traceback
from pathlib import Path

from chassis.errors import Invalid
from services.api.students.import_files import frames
from services.api.students.import_files.reading import read_students
from services.api.students.import_files.rows import ReadOptions

MIB = 1024 * 1024
MAX_MEMORY = 1024 * MIB
CPU_SECONDS, CPU_SECONDS_PER_MIB = 30, 3
NICENESS = 10
MEMORY_OF_CONTAINER = Path("/sys/fs/cgroup/memory.max")
OUT_OF_MEMORY = "memory"


def main() -> None:
    """Read the file of stdin. Ends with status 0 even when the file cannot be used."""
    limit_process(os.fstat(0).st_size)
    request = json.loads(sys.argv[1])
    options = ReadOptions(request["mapping"], request["header_row"], request["sheet"])
    with os.fdopen(os.dup(0), "rb") as file, os.fdopen(1, "wb", buffering=0) as pipe:
        try:
            for frame in read_students(file, request["name"], options):
                _write(pipe.fileno(), frames.encoded(frame))
        except Invalid as error:
            _write(pipe.fileno(), frames.refusal(error))
        except BrokenPipeError:
            return  # the API has no more use for the rows
        except MemoryError:
            _write(pipe.fileno(), frames.failure(OUT_OF_MEMORY))
        except BaseException as error:  # noqa: BLE001 - a panic of calamine is a BaseException
            # The place, and not the message: that may quote a student's data.
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
            _write(pipe.fileno(), frames.failure(place))


def cpu_seconds(size: int) -> int:
    """Return how much processor time a file of ``size`` bytes may take."""
    return CPU_SECONDS + CPU_SECONDS_PER_MIB * (size // MIB)


def limit_process(size: int) -> None:
    """Limit time and memory of this process, and let every other process go first."""
    seconds = cpu_seconds(size)
    memory = memory_limit()
    for what, limit in (
        (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):  # fmt: skip
        resource.setrlimit(what, (limit, limit))
    os.nice(NICENESS)
    adjust = Path("/proc/self/oom_score_adj")
    if adjust.exists() and os.access(adjust, os.W_OK):
        adjust.write_text("1000")  # when memory runs out, this process ends and not the API


def memory_limit() -> int:
    """Return the bytes this process may use: half of what the container has, a gibibyte at most."""
    if MEMORY_OF_CONTAINER.exists() and (text := MEMORY_OF_CONTAINER.read_text().strip()).isdigit():
        return max(128 * MIB, min(MAX_MEMORY, int(text) // 2))
    return MAX_MEMORY


def _write(pipe: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(pipe, view) :]


if __name__ == "__main__":
    main()
