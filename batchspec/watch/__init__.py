"""Watching: the reconciler as a service, whose specs and data change under it."""
