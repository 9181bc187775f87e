"""What was run is told at the end: figures are part of the proof."""

import pytest

_TOLD: list[str] = []


@pytest.fixture(scope="session")
def told() -> list[str]:
    """Return the lines that stand at the end of the report."""
    return _TOLD


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show them."""
    if _TOLD:
        terminalreporter.section("crash sweep")
        for line in _TOLD:
            terminalreporter.write_line(line)
