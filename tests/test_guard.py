"""The guard of `conftest.py`, in a run of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import os, socket, threading
import pytest

def test_connects():
    socket.create_connection(("203.0.113.7", 80), timeout=1)

def test_resolves():
    socket.getaddrinfo("api.example.com", 443)

def test_swallows():
    try:
        socket.create_connection(("203.0.113.8", 80), timeout=1)
    except BaseException:
        pass

def test_hides_it_in_a_thread():
    def call():
        try:
            socket.gethostbyname("hidden.example.com")
        except BaseException:
            pass
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()

def test_sends_a_datagram():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(b"hello", ("203.0.113.9", 53))

@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_is_open(host):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection((host, port), timeout=5).close()

def test_sees_no_settings():
    assert not [name for name in os.environ if name.startswith(("OPENAI_", "BATCHSPEC_"))]
"""


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what pytest says about tests that misbehave."""
    folder = tmp_path_factory.mktemp("guarded")
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    (folder / "test_inner.py").write_text(TESTS)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder],
        cwd=folder,
        env={"PATH": "", "OPENAI_API_KEY": "sk-secret", "BATCHSPEC_ENV": "prod"},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.stdout


@pytest.mark.parametrize(
    ("test", "host"),
    [
        ("test_connects", "203.0.113.7"),
        ("test_resolves", "api.example.com"),
        ("test_swallows", "203.0.113.8"),
        ("test_hides_it_in_a_thread", "hidden.example.com"),
        ("test_sends_a_datagram", "203.0.113.9"),
    ],
)
def test_reaching_out_fails_the_test_and_names_host_and_test(
    output: str, test: str, host: str
) -> None:
    assert f"FAILED test_inner.py::{test}" in output
    assert f"test_inner.py::{test} (call) tried to reach '{host}'" in output


def test_loopback_is_open_and_settings_are_gone(output: str) -> None:
    assert "5 failed, 3 passed" in output
