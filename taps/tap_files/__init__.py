"""tap-files: what lies in folders and buckets, as streams.

`docs/architecture.md` says which file does what.
"""
