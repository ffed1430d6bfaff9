"""`tap-files preview`: what is in files, for a person who writes a config. Here alone content is guessed at."""
