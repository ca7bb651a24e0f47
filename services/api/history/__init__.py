"""Time travel: read from the log who was eligible at a moment and why, and what happened to a drive."""
