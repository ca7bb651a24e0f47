"""Refresh the materialized views, and delete data and files that are no longer needed."""
