"""The console script. The wheel installs it with or without the extra `cli`, so it imports nothing of that itself."""

from chassis.extras import require_extra


def run() -> None:
    """Run the ``placewire`` command; end with one line where its extra is not installed."""
    require_extra("cli")
    from cli.main import run as run_command

    run_command()
