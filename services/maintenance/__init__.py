"""Keeps the system healthy: refreshes the materialized views, and deletes what nobody needs any more."""
