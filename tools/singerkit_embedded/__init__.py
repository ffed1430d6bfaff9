"""A local PostgreSQL for runs without connection settings, and for tests and examples.

server.py    made, started, shared and stopped: one folder each, on a unix socket

``python -m singerkit_embedded [--folder F] start|stop|uri|psql|sql "..."`` opens it by hand. Nobody imports this package
at the top: target-postgres does with an empty config, when it needs a server.
"""
