"""The pipe, both directions: from chunks of stdin to rows, and from the source's records to RECORD lines."""
