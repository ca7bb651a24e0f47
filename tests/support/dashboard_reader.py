"""Read dashboards until the input ends, then print the seconds of each read: ``python -m … PORT TOKEN SERIES…``

The program prints a line when it has read each series once. It runs in a separate process. In a loop with a thousand
other requests, the time would include the delay of the client itself.
"""

import json
import select
import sys
from http.client import HTTPConnection
from time import monotonic

PAUSE_S = 0.02


def main(port: str, token: str, *series: str) -> None:
    took_s: list[float] = []
    connection = HTTPConnection("127.0.0.1", int(port))
    while not select.select([sys.stdin], [], [], PAUSE_S)[0]:
        for name in series:
            began = monotonic()
            connection.request("GET", f"/api/analytics/{name}", headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            body = answer.read()
            took_s.append(monotonic() - began)
            if answer.status != 200:
                raise SystemExit(f"{answer.status}: {body!r}")
        if len(took_s) == len(series):
            print("reading", flush=True)  # noqa: T201
    sys.stdout.write(json.dumps(took_s))


if __name__ == "__main__":
    main(*sys.argv[1:])
