"""Replay the log and compare it with the live tables. ``verify`` reports the differences, ``rebuild`` repairs them."""
