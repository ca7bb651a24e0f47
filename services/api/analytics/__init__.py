"""Figures for the dashboards, read from the materialized views."""
