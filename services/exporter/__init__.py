"""Write files from the tables (job kind *export*)."""
