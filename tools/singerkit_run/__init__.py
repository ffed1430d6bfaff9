"""Pipes on a schedule: a file of pipelines, run in their order, with the exit code of each tap known before its target ends.

A tap that crashes looks to a target like the end of its input. The runner holds the pipe open until it knows what the tap ended with.
"""
