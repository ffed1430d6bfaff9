"""What every executable shares around its data path: errors, exit codes, secrets, signals, command line."""
