"""Deletes what nobody needs any more: files, keys, jobs, read marks. Never an event, and never what is in use.

Files may only go when the log says so, not a read table: `placewire rebuild` repairs a table; nothing restores a file.
"""
