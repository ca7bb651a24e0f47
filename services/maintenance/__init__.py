"""Maintenance: refreshes the materialized views, and deletes data and files that are no longer needed."""
