tap-files --config tap.json | target-duckdb --config target.json
