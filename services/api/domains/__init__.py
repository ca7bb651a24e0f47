"""Job domains: the list a drive is filed under."""
