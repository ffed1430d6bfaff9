"""How PostgreSQL is reached: where it is, TLS, an SSH tunnel, a session that nobody else has set, and what its errors ask for."""
