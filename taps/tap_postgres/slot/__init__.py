"""`tap-postgres slot`: replication slot and publication by hand, each command a module."""
