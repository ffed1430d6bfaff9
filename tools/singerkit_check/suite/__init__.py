"""The black-box suite: one test per rule of Singer, run against anybody's tap or target by processes and pipes.

run.py                         choose executables and rules, run pytest, print the table
plugin.py                      the pytest plugin: fixtures, waivers of the drivers
drivers.py                     what must be known of an executable: its config, how to read back, waivers
processes.py                   run an executable, or keep it running to hurt it; every wait has an end
singer.py                      write and read messages; shares no code with what is tested
known.py                       streams and rows to fill a source with
sources.py                     what a rule may ask of the thing that a tap reads, whatever it is
source_server.py, http_source.py  one of them: a real HTTP server, for taps that read REST
tap_runs.py, target_runs.py    the runs that several rules look at, made once
pieces.py                      inputs that every target must take
test_tap_*.py, test_target_*.py  the rules; a test names its rule (`test_g11_...`)
"""
