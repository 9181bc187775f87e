"""The entry point for pytest: it loads the plugin when the suite is asked for, and else nothing."""

import pytest

_PACKAGE = "batchspec.conformance"


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Add the suite's options before the command line is read in full.

    Only then: `--base-url` and others may be words of other plugins.
    """
    if any(word.split("::")[0].split(".test_")[0] == _PACKAGE for word in args):
        early_config.pluginmanager.import_plugin(f"{_PACKAGE}.plugin")


def pytest_configure(config: pytest.Config) -> None:
    """Let the checks be imported wherever marks are strict, as in a suite for a client."""
    config.addinivalue_line("markers", "conformance: a behaviour of the Files and Batches API")
