"""`tap-rest preview`: what a config asks for, and what comes, before anything is loaded."""
