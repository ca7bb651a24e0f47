"""HTTP of every process: server, health, problem documents."""
