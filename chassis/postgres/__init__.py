"""Connections to Postgres: the pool, notifications, leader election."""
