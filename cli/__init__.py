"""The ``placewire`` command. ``main`` assembles it, ``doors`` parse and print, the other folders do the work."""
