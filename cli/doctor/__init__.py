"""Check an installation from outside, with one module for each area."""
