"""Notifications of users, and which of them they have read."""
