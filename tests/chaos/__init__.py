"""The whole system under load while its parts are killed, frozen, restarted and cut off; then everything is counted."""
