"""Attendance: which registered students were present."""
