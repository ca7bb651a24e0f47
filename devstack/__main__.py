"""``python -m devstack lock``: resolve Kafka's jars anew and lock them."""

import sys

from devstack.artifacts import LOCK_FILE, lock

if __name__ == "__main__":
    if sys.argv[1:] != ["lock"]:
        raise SystemExit(__doc__)
    print(f"{lock()} jars locked in {LOCK_FILE.name}")
