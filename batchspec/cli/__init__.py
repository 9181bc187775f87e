"""The command line: one file per command, each parses, calls the project, and shows a view."""
