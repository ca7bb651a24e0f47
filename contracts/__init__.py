"""The data that crosses process boundaries: events, topics, job kinds, the job protocol. Imports no other package."""
