"""What database taps share: tables, types, queries, chunks, incremental reading, streams. It knows no database."""
