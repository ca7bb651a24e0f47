"""The ``placewire`` command: ``main`` assembles it, ``commands`` parse and print, the other packages do the work."""
