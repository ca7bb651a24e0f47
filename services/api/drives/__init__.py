"""Drives: created, revised, published, stopped, deleted."""
