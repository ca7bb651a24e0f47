"""Generated people and files, for development and demonstrations only."""
