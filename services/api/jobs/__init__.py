"""Jobs: list them and follow their progress."""
