"""The process that reads one file: the file on stdin, frames on stdout. Of the API it imports this package only.

Run: ``python -m services.api.students.import_files.worker REQUEST``, a JSON object with ``name``, ``mapping``,
``header_row``, ``sheet`` and ``limits``.
"""

import json
import os
import resource
import sys
import traceback
from pathlib import Path

from chassis.errors import Invalid
from services.api.students.import_files import frames
from services.api.students.import_files.limits import ReadLimits
from services.api.students.import_files.reading import read_students
from services.api.students.import_files.rows import ReadOptions

NICENESS = 10
OUT_OF_MEMORY = "memory"


def main() -> None:
    """Read the file from stdin. Ends with status 0 even when the file cannot be used."""
    request = json.loads(sys.argv[1])
    limit_process(ReadLimits(**request["limits"]))
    options = ReadOptions(request["mapping"], request["header_row"], request["sheet"], request["updates"])
    with os.fdopen(os.dup(0), "rb") as file, os.fdopen(1, "wb", buffering=0) as pipe:
        try:
            for frame in read_students(file, request["name"], options):
                _write(pipe.fileno(), frames.encoded(frame))
        except Invalid as error:
            _write(pipe.fileno(), frames.refusal(error))
        except BrokenPipeError:
            return  # the API no longer reads the rows
        except MemoryError:
            _write(pipe.fileno(), frames.failure(OUT_OF_MEMORY))
        except BaseException as error:  # noqa: BLE001 - a panic of calamine is a BaseException
            # The place without the message: the message may quote a student's data.
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
            _write(pipe.fileno(), frames.failure(place))


def limit_process(limits: ReadLimits) -> None:
    """Limit the time and memory of this process, and give it the lowest priority."""
    for what, limit in (
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (allowed, hard if what == resource.RLIMIT_CPU else allowed))
    os.nice(NICENESS)
    adjust = Path("/proc/self/oom_score_adj")
    if adjust.exists() and os.access(adjust, os.W_OK):
        adjust.write_text("1000")  # when memory runs out, the kernel ends this process and not the API


def _write(pipe: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(pipe, view) :]


if __name__ == "__main__":
    main()
