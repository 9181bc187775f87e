"""Checks whether a server, or a client of ours, keeps to the Files and Batches API.

Run by pytest against any server: `pytest --pyargs batchspec.conformance --base-url URL`. See
docs/conformance.md.
"""
