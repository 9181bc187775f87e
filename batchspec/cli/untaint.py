"""`batchspec untaint`, which stands beside `taint`."""

from batchspec.cli.taint import untaint

__all__ = ["untaint"]
