"""The HTTP layer shared by all routes: access, commands, caching, limits, input checks, OpenAPI."""
