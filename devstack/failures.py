"""Expected failures. Their texts say what to do. A command prints the text and exits with 1."""


class StackFailure(RuntimeError):
    """Something could not be started, stopped or obtained."""


class NotReady(StackFailure):
    """A process ended, or did not answer in time. The text ends with the last lines of its log."""


class DownloadFailed(StackFailure):
    """A jar could not be downloaded, or is not the locked one. The text is one line."""
