"""Endpoints that answer at once; the embedded server runs their batches."""
