"""One module per command: parse its arguments, call the code that does the work, print the result."""
