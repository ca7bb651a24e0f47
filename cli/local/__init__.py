"""Run the whole system on this machine: the servers of ``devstack`` and all Placewire processes."""
