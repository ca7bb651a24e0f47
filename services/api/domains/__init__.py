"""Job domains, which classify drives."""
