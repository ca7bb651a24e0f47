"""Load the whole system while its processes are killed, frozen, restarted and cut off. Then check all results."""
