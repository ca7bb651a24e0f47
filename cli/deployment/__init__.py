"""Set up a new installation: create secrets, and set the passwords of the database roles."""
