"""Registrations of students for drives."""
