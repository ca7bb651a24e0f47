"""Jobs: the queue, the worker that claims from it, leases, retries, dead letters."""
