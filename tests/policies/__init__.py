"""Published policies as documents, each with cases written from the published text."""
