"""Long answers: their rows stay on disk, and are read a piece at a time by whoever looks at them.

`opening` looks through a whole body once, and leaves `rows`, which know where each piece of theirs begins; `singerkit_wire.jsonwalk` (JSON), `lines`
(NDJSON and CSV) and `elements` (XML) cut one format each.
"""
