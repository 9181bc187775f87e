"""Answers from a live endpoint: any server that speaks the API at once."""
