"""Where files lie: one module a kind of place, all of them as `contract.Place` says."""
