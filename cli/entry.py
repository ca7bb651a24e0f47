"""Start ``placewire``. The wheel always installs this script, so it imports no package of the extra `cli`."""

from chassis.extras import require_extra


def run() -> None:
    """Run the ``placewire`` command. Without the extra `cli`, print one line and exit."""
    require_extra("cli")
    from cli.main import run as run_command

    run_command()
