"""What tests use: servers, processes, clients, scenarios."""
