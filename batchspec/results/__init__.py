"""Answers, read back and exported."""
