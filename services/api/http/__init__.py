"""What every route of the API stands on: access, commands, caching, limits, input, OpenAPI."""
