"""Generate the documents in ``contracts/`` from the code: JSON Schemas, AsyncAPI, OpenAPI."""
