"""A run whose requests and answers are kept in a folder, and the same run without network."""
