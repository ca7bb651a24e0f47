"""Notifications of users, and their read marks."""
