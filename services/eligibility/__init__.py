"""Decides who is selected for a drive (job kind *eligibility*)."""
