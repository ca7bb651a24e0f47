"""The log projected anew and compared with what stands in the tables: what ``verify`` tells and ``rebuild`` mends."""
