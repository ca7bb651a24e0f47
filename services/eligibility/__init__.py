"""Select the students of a drive (job kind *eligibility*)."""
