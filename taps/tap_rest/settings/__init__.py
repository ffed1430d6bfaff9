"""The settings of tap-rest: each file has a section of the config, its JSON Schema, its type and its checks.

setting.py      what a setting is in a JSON Schema
api.py          checks of what every request carries, and of who may be asked
auth.py, limits.py                        of the top level
stream.py       one of `streams`, with what stands inside it
  pagination.py, incremental.py, times.py, parent.py
effects.py      settings that would do nothing
"""
