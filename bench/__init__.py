"""How fast it is, each time against a limit or a peer in the same run: ``make bench``."""
