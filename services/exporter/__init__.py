"""Write export files from the tables (job kind *export*)."""
