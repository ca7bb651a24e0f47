"""Drives: create, revise, publish, stop registrations, delete."""
