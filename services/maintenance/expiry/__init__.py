"""Deletes what nobody needs any more: files, keys, jobs, read marks. Never an event, and never what is in use.

Files may only go when the log says so, not a read table: a damaged table is mended by a rebuild, a file by nothing.
"""
