"""Finished drives: as a list, as a spreadsheet and as a PDF report."""
