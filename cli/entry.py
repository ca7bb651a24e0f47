"""The console script. The wheel installs it even without the extra `cli`, so it imports no package of that extra."""

from chassis.extras import require_extra


def run() -> None:
    """Run the ``placewire`` command. Without its extra, end with one line."""
    require_extra("cli")
    from cli.main import run as run_command

    run_command()
