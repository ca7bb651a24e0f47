"""What is stored about a person, who has looked at it, and its erasure."""
