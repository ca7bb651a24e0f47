"""Who is eligible for a drive, judged live."""
