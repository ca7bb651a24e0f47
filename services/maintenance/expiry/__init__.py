"""Delete files, keys, jobs and read marks that are no longer needed. Events and data in use are never deleted.

Whether a file may be deleted is read from the log and not from a read table, because a read table may be damaged. A
table can be repaired (`placewire rebuild`), but a deleted file cannot.
"""
