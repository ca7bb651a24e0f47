"""Files made on request: asking for one, following it, downloading it."""
