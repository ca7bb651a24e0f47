"""``placewire demo``: show the whole product on a machine without any servers."""
