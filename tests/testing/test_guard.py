"""The guard: no test reaches another machine, and the one that tries is told what to do."""

import re
import subprocess
import sys

import pytest

from testing.conftest import RunPytest, run_in

TESTS = """
import os, socket, sys, threading
import anyio, openai, pytest

def test_connects():
    socket.create_connection(("203.0.113.7", 80), timeout=1)

def test_resolves():
    socket.getaddrinfo("api.example.com", 443)

def test_swallows():
    try:
        socket.create_connection(("203.0.113.8", 80), timeout=1)
    except BaseException:
        pass

def test_fails_for_another_reason_then():
    try:
        socket.create_connection(("203.0.113.6", 80), timeout=1)
    except BaseException:
        pass
    assert "answer" == None

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

def test_calls_the_sdk():
    openai.OpenAI(api_key="sk-mine").models.list()

def test_calls_the_sdk_and_is_patient():
    for _ in range(3):
        try:
            openai.OpenAI(api_key="sk-mine", max_retries=2).models.list()
        except (Exception, pytest.fail.Exception):
            pass

def test_calls_the_asynchronous_sdk():
    async def call():
        async with anyio.create_task_group() as group:
            group.start_soon(openai.AsyncOpenAI(api_key="sk-mine").models.list().__aiter__().__anext__)
    anyio.run(call)

@pytest.fixture
def reaching():
    yield
    try:
        socket.gethostbyname("teardown.example.com")
    except BaseException:
        pass

def test_has_a_fixture_that_reaches_out(reaching):
    pass

@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_is_open(host):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection((host, port), timeout=5).close()

def test_sees_no_settings():
    assert not [name for name in os.environ if name.startswith(("OPENAI_", "BATCHSPEC_"))]

def test_has_its_own_settings(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    assert os.environ["OPENAI_API_KEY"] == "sk-mine"

def reach(host):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        try:
            udp.connect((host, 9))  # of a datagram socket: nothing is sent
        except OSError:
            pass

@pytest.mark.batchspec_network("203.0.113.*", "203.0.29")
def test_may_reach_a_host():
    reach("203.0.113.7")
    socket.getaddrinfo("203.0.29", 9)
    reach("203.0.0.29")

@pytest.mark.batchspec_network("203.0.113.*")
def test_may_not_reach_others():
    reach("203.0.114.7")

@pytest.mark.batchspec_network("203.0.113.*")
def test_looks_up_another_host_meanwhile(monkeypatch):
    def look_up():
        try:
            sys.audit("socket.getaddrinfo", "meanwhile.example.com", 443, 0, 0, 0)
        except BaseException:
            pass
    def slow(host, port):
        thread = threading.Thread(target=look_up)
        thread.start()
        thread.join()
        return []
    monkeypatch.setattr(socket, "getaddrinfo", slow)
    sys.audit("socket.getaddrinfo", "203.0.113.7", 443, 0, 0, 0)
"""
GUARDED = "[pytest]\nbatchspec_network = guard\n"


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what pytest says about tests that misbehave."""
    folder = tmp_path_factory.mktemp("guarded")
    return run_in(folder, {"test_inner.py": TESTS, "pytest.ini": GUARDED}, "-q")


@pytest.mark.parametrize(
    ("test", "host"),
    [
        ("test_connects", "203.0.113.7"),
        ("test_resolves", "api.example.com"),
        ("test_swallows", "203.0.113.8"),
        ("test_fails_for_another_reason_then", "203.0.113.6"),
        ("test_hides_it_in_a_thread", "hidden.example.com"),
        ("test_sends_a_datagram", "203.0.113.9"),
        ("test_calls_the_sdk", "api.openai.com"),
        ("test_calls_the_sdk_and_is_patient", "api.openai.com"),
        ("test_calls_the_asynchronous_sdk", "api.openai.com"),
        ("test_may_not_reach_others", "203.0.114.7"),
        ("test_looks_up_another_host_meanwhile", "meanwhile.example.com"),
    ],
)
def test_reaching_out_fails_the_test_and_names_host_and_place(
    output: str, test: str, host: str
) -> None:
    assert f"FAILED test_inner.py::{test} - " in output
    told = f"test_inner.py::{test} (call) tried to reach '{host}'"
    place = r" in test_inner\.py:\d+"
    if test == "test_calls_the_asynchronous_sdk":
        place = ""  # the event loop looks hosts up in a thread of its own
    assert re.search(re.escape(told) + place + r" \(socket\.\w+\)\. Tests run offline", output)


def test_a_fixture_that_reaches_out_is_told_too(output: str) -> None:
    assert "ERROR test_inner.py::test_has_a_fixture_that_reaches_out" in output
    assert "(teardown) tried to reach 'teardown.example.com'" in output


def test_everything_else_passes(output: str) -> None:
    """Loopback is open, settings are hidden, marked tests may reach their hosts."""
    assert "11 failed, 6 passed, 1 error" in output


def test_a_module_that_reaches_out_is_not_collected(run_pytest: RunPytest) -> None:
    """Where all is guarded, importing counts too."""
    said = run_pytest(
        **{
            "pytest.ini": GUARDED,
            "test_a.py": "import socket\nsocket.gethostbyname('early.example.com')\n",
        }
    )
    assert "ERROR test_a.py - " in said
    assert "pytest tried to reach 'early.example.com' in test_a.py:2" in said


FREE = """
import os, sys

def test_is_left_alone():
    assert os.environ["OPENAI_API_KEY"] == "sk-secret"
    assert {name for name in sys.modules if name.startswith("batchspec")} == OWN
"""
OWN = {
    "batchspec",
    "batchspec.conformance",
    "batchspec.conformance.entry",
    "batchspec.lazy",
    "batchspec.testing",
    "batchspec.testing.plugin",
}


@pytest.mark.parametrize("mode", ["", "batchspec_network = allow", "batchspec_network = fixtures"])
def test_tests_that_do_not_use_batchspec_are_left_alone(run_pytest: RunPytest, mode: str) -> None:
    """The plugin is loaded in every run of everyone; it costs them two small imports."""
    free = FREE.replace("OWN", repr(OWN))
    said = run_pytest("-q", **{"pytest.ini": f"[pytest]\n{mode}\n", "test_free.py": free})
    assert "1 passed" in said, said


def test_the_plugin_is_cheap_to_load() -> None:
    """Beside pytest itself it needs nothing but itself."""
    code = (
        "import sys, pytest; before = set(sys.modules); import batchspec.testing.plugin; "
        "print(*sorted(set(sys.modules) - before))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(ended.stdout.split()) <= OWN


def test_the_plugin_can_be_left_out(run_pytest: RunPytest) -> None:
    without = "import sys\ndef test_it():\n    assert 'batchspec.testing' not in sys.modules\n"
    assert "1 passed" in run_pytest("-p", "no:batchspec", **{"test_free.py": without})


def test_a_wrong_mode_is_refused(run_pytest: RunPytest) -> None:
    said = run_pytest(**{"pytest.ini": "[pytest]\nbatchspec_network = gaurd\n"})
    assert "batchspec_network is one of fixtures, guard, allow; the configuration says 'gaurd'" in (
        said
    )


def test_a_tool_that_reaches_out_and_a_provider_that_refuses_are_told_alone(
    run_pytest: RunPytest,
) -> None:
    """Without the groups of tasks and the frames they came through."""
    test = """
        import socket
        from batchspec import Job, rows, tool
        from batchspec.testing import Faults, call, script

        @tool
        def reach() -> str:
            "Reach out."
            socket.create_connection(("203.0.113.7", 80), timeout=1)

        words = Job(
            model="openai:gpt-5-mini", rows=rows.inline([{"id": "a"}]), prompt="{id}", tools=[reach]
        )

        def test_tool(run_job):
            run_job(words, answers=script(call("reach"), "fine"))

        def test_provider(run_job):
            faults = Faults()
            faults.add("denied")
            run_job(words, faults=faults)
    """
    said = run_pytest("-q", **{"test_it.py": test})
    assert "2 failed" in said, said
    assert "test_tool (call) tried to reach '203.0.113.7' in test_it.py:" in said
    assert "ProviderError: Provider 'openai' refused the key (HTTP 401" in said
    assert "Group" not in said
    assert "The above exception" not in said
    assert "anyio" not in said
