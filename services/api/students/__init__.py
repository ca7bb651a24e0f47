"""Students and their marks: one by one, and by the file."""
