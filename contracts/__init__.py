"""What crosses a process boundary: events, topics, job kinds, the HTTP job protocol. Imports no other package."""
