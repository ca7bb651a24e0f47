"""Dead letters: jobs that failed for good. Heads of the cell list, redrive and discard them."""
