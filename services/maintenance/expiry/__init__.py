"""Delete files, keys, jobs and read marks that are no longer needed. Never delete events or data in use.

The log decides whether a file may be deleted, not a read table. `placewire rebuild` can repair a table, not a file.
"""
