"""Students who register for a drive."""
