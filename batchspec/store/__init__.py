"""The state on disk. Nothing outside this package knows SQL or paths."""
