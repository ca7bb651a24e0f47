"""Exports: request a file, follow its job, download it."""
