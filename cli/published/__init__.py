"""The documents in ``contracts/`` that others read: JSON Schemas, AsyncAPI, OpenAPI. All made from the code."""
