"""Drives that are over: a list, and the same as a sheet and as a report."""
