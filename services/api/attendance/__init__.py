"""Who of the registered students came."""
