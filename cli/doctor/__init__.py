"""What may be wrong with an installation, looked at from outside: one module for each thing looked at."""
