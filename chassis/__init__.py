"""What every service stands on: database, event store, jobs, bus, tokens, telemetry. No business word."""
