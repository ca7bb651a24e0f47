"""User accounts and sign-in."""
