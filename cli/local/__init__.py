"""The whole system on this machine: servers from ``devstack``, our processes beside them."""
