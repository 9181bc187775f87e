"""Which version of batchspec this is."""

from importlib import metadata


def installed_version() -> str:
    """Return the version of the installed package, or a mark for a checkout that is not."""
    try:
        return metadata.version("batchspec")
    except metadata.PackageNotFoundError:
        return "0+checkout"
