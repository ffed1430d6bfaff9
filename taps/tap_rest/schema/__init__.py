"""The schema of a stream: declared, from a document, or inferred and kept."""
