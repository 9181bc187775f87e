"""Whole answers told bit by bit, as the service streams them."""
