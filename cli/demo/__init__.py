"""``placewire demo``: the whole product once, on a machine that has nothing."""
