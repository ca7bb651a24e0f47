"""The process that reads one file: the file on stdin, frames on stdout.

Run: ``python -m services.api.students.import_files.worker REQUEST``, a JSON object with ``name``, ``mapping``,
``header_row``, ``sheet`` and ``limits``.
"""

import json
import os
import sys
import traceback
from pathlib import Path

from chassis.errors import Invalid
from services.api.students.import_files import frames
from services.api.students.import_files.reading import read_students
from services.api.students.import_files.rows import ReadOptions
from services.api.worker_process import limit_process

OUT_OF_MEMORY = "memory"


def main() -> None:
    """Read the file from stdin. Ends with status 0 even when the file cannot be used."""
    request = json.loads(sys.argv[1])
    limit_process(**request["limits"])
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
            # Report only the place, because the message may quote a student's data.
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
            _write(pipe.fileno(), frames.failure(place))


def _write(pipe: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(pipe, view) :]


if __name__ == "__main__":
    main()
