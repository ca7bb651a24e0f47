"""Published policies as documents, each with cases that were written from the published text."""
