"""The write-ahead log of PostgreSQL as a log of changes: pgoutput, read by a slot, exactly once."""
