"""The view of `version`."""

import platform
from importlib import metadata

from batchspec.cli.views.streams import print_json, stdout
from batchspec.installed import installed_version


def show_versions(*, as_json: bool) -> None:
    """Print the versions a bug report needs."""
    versions = {
        "batchspec": installed_version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "openai": metadata.version("openai"),
        "pydantic": metadata.version("pydantic"),
    }
    if as_json:
        print_json(versions)
        return
    for name, version in versions.items():
        stdout().print(f"{name:<10} {version}")
