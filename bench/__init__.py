"""Benchmarks that compare Placewire with a limit or another system in the same run: ``make bench``."""
