"""Set up a new installation: secrets, and passwords of the database roles."""
