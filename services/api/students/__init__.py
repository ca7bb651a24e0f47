"""Students and their marks: single students, and imports of files."""
