"""A closer look at the students who are eligible for a drive."""
