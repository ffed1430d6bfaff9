"""How the pages of a REST API are found, one after the other, and when there is no other.

steps.py        what asks for a page
here.py         where a read stands
kinds.py        from one page to the step to the next, in nine kinds; links.py and keyset.py for two of them
ends.py         when a page is the last
endings.py      how the reads of a stream end, in this run and in those before
pagination.py   the pages of one read, with the guards against circles and against pages left out
unread.py       what the last page says about pages after it, and what that means
  lastpage.py     the page, and a sign in it
  membernames.py  names that speak of pages
  members.py      what stands around the records
  pointers.py     URLs, tokens, links in it
  bodysigns.py, headersigns.py  all that speaks for another page
  fitting.py, configlines.py    the `pagination` that would go on, and a line of it
numbering.py    numbers inside links and tokens
overlaps.py     pages by offset that begin before the end of the one before
following.py    going on by the last replication key in place of a number

What is known of how a read ends stands by how far back it goes: `here.Seen` is of the read under way, `here.Experience` of the
reads of the stream in this run, `endings.Endings` of those of former runs, too, as far as the state keeps it.
"""
