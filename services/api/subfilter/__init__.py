"""The sub-filter: narrow down the students who are eligible for a drive."""
