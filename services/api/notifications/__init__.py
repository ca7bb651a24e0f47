"""What people are told, and what of it they have read."""
