"""Deletes files, keys, jobs and read marks that are no longer needed. Never deletes events, nor what is in use.

The log decides whether a file may go, not a read table: `placewire rebuild` repairs a table; nothing restores a file.
"""
