"""`singerkit-check`: does a Singer stream, a tap or a target keep the rules?

rules.py       the rules of Singer, and how much each of them binds
pipe.py        the stream passes through, unchanged and at once
lines.py       chunks cut into lines, bounded in bytes
values.py      one line as JSON, exactly, with what is odd about it
schemas.py     SCHEMA: shape, references, draft, names
decode.py      the schema as a typed decoder that accepts only what jsonschema accepts
records.py     RECORD: against its schema, fast where possible
progress.py    rows against bookmarks of one stream
states.py      STATE: shape, bookmarks, the mark of a run
extensions.py  ACTIVATE_VERSION and BATCH
checker.py     one line after the other
findings.py    what was found, counted and bounded
report.py      findings and summary for people and for machines
command.py     the command line
suite/         the black-box suite for anybody's tap or target
"""

from singerkit_shell.imports import begin_importing

begin_importing("singerkit-check")
