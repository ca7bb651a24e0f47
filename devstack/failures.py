"""What can go wrong here, for a person: the text says what to do, and a command prints it and exits 1."""


class StackFailure(RuntimeError):
    """Something could not be started, stopped or had."""


class NotReady(StackFailure):
    """A process ended, or did not answer in time. The text ends with the last lines of its log."""


class DownloadFailed(StackFailure):
    """A jar could not be had, or is not the one that was locked. One line."""
