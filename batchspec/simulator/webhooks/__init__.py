"""Telling other servers that a batch has ended: endpoints, a queue on disk, and delivery."""
