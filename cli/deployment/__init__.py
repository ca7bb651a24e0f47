"""What a new installation needs once: secrets, and passwords of the database roles."""
