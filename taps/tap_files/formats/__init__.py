"""What is in files: one module a format, all of them as `contract.Reader` says."""
