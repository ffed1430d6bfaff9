"""What `tap-postgres --test` looks at before it reads: grants and settings, each missing one with the statement that mends it."""
