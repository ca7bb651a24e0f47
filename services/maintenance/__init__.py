"""Keeps the system healthy: refreshes the materialized views."""
