"""``python -m devstack``: Postgres and Kafka on this machine."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from devstack import browser_assets
from devstack.artifacts import LOCK_FILE, lock
from devstack.failures import StackFailure
from devstack.log_view import show_logs
from devstack.stack import CHECKOUT, Stack

COMMANDS = {
    "start": "start both servers, leave them running and print their addresses",
    "stop": "stop the servers and processes that were started",
    "status": "show what is running; exit with 1 unless both servers are",
    "addresses": "print the addresses of the servers, as settings",
    "logs": "print the end of the logs",
    "lock": "resolve the jars of Kafka and of the browser assets again, and lock their versions and checksums",
    "assets": "download the stylesheets and scripts for browsers into a folder",
}


def main(arguments: Sequence[str]) -> int:
    """Run one command. Return the exit code: 0, 1 after one line on standard error, or 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m devstack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, meaning in COMMANDS.items():
        command = commands.add_parser(name, help=meaning, description=meaning)
        if name == "logs":
            command.add_argument("-f", "--follow", action="store_true", help="keep printing new lines, until Ctrl-C")
        if name == "assets":
            command.add_argument(
                "folder", type=Path, nargs="?", help="default: one that all checkouts of this user share"
            )
    options = parser.parse_args(arguments)
    try:
        if options.command == "assets":
            folder: Path | None = options.folder
            print(browser_assets.copy_assets(folder) if folder else browser_assets.ensure_assets())
            return 0
        return _run(options.command, follow=getattr(options, "follow", False))
    except StackFailure as failure:
        print(failure, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(command: str, *, follow: bool) -> int:
    if command == "lock":
        print(f"{lock()} jars locked in {LOCK_FILE.name}")
        lock_file = browser_assets.LOCK_FILE
        print(f"{lock(lock_file, browser_assets.WEBJARS, transitive=False)} jars locked in {lock_file.name}")
        return 0
    stack = Stack()
    match command:
        case "start":
            stack.start()
            _print_addresses(stack)
        case "stop":
            print("stopped: " + (", ".join(stack.stop()) or "nothing was running"))
        case "status":
            _print_status(stack)
            return 0 if stack.running else 1
        case "addresses":
            _print_addresses(stack)
        case "logs":
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # end quietly when the reader of a pipe ends
            show_logs(stack.logs, follow=follow)
    return 0


def _print_addresses(stack: Stack) -> None:
    print(f"DATABASE_URL={stack.addresses.database_url}")
    print(f"KAFKA_BOOTSTRAP_SERVERS={stack.addresses.kafka_bootstrap_servers}")
    if CHECKOUT not in stack.home.parents:
        print(f"# Other users cannot enter this checkout, so its data is in {stack.home}")


def _print_status(stack: Stack) -> None:
    rows = [
        ("postgres", stack.postgres.pid, stack.addresses.database_url),
        ("kafka", stack.kafka.pid, stack.addresses.kafka_bootstrap_servers),
    ]
    rows += [(each.name, each.pid if each.running else None, each.url or "") for each in stack.record.processes]
    for name, pid, address in rows:
        print(f"{name:<12} {f'pid {pid}' if pid else 'stopped':<12} {address if pid else ''}".rstrip())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
