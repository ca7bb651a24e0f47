"""The state of the installation, for the heads of the cell."""
