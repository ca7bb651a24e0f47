"""Code that several tests use: servers, processes, clients and scenarios."""
