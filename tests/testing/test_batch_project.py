"""`batch_project`: a whole project folder, with its own specs and configuration."""

from testing.conftest import RunPytest

SPECS = """
from batchspec import Job, rows

first = Job(model="openai:gpt-5-mini", rows=rows.csv("data/names.csv"), prompt="Greet {name}.")
second = Job(model="openai:gpt-5-mini", rows=rows.outputs_of(first), prompt="Shorten: {output}")
"""
PROJECT = {
    "batchspec.toml": "max_cost = 1.0\n",
    "specs/hello.py": SPECS,
    "data/names.csv": "key,name\na,Ada\nb,Bo\n",
}


def test_a_project_runs_with_its_own_files_and_writes_nothing_there(run_pytest: RunPytest) -> None:
    said = run_pytest(
        "-q",
        **PROJECT,
        **{
            "tests/test_hello.py": """
            from pathlib import Path
            from specs.hello import first  # the project's folder is importable

            def test_it(batch_project, pytestconfig):
                batch_project.faults.add("reset_after_commit", on="batches.create", times=1)
                batch_project.answer(first, {"a": "Hi Ada", "b": "Hi Bo"})
                batch_project.answer("hello.second", lambda request: request.text[-3:])
                run = batch_project.apply()
                assert run.of("hello.first").outputs == {"a": "Hi Ada", "b": "Hi Bo"}
                assert run['hello.second["a"]'].output == "Ada"
                assert batch_project.items("hello.second")["b"].output == " Bo"
                assert len(batch_project.server.batches) == 2
                batch_project.clock.advance("24h")
                assert not batch_project.plan().can_apply
                again = batch_project.apply(replace=["hello.second"])
                assert again.requests == 2 and again.of("hello.second")["b"].output == " Bo"
                assert list(again.outcomes) == [item.address for item in again]
                assert not (pytestconfig.rootpath / "state").exists()

            def test_keys_of_several_jobs(batch_project):
                run = batch_project.apply(targets=["hello.first"])
                assert run["a"].succeeded and len(run) == 2
                run = batch_project.apply()
                run["a"]
            """
        },
    )
    assert "1 failed, 1 passed" in said, said
    assert (
        """Several items have the key 'a': hello.first["a"], hello.second["a"]. Use the address."""
        in said
    )


def test_a_failure_shows_what_ran(run_pytest: RunPytest) -> None:
    """Even where the test says nothing of it."""
    said = run_pytest(
        "-q",
        **PROJECT,
        **{
            "test_hello.py": """
            from batchspec import Job, rows
            from batchspec.testing import fail

            def test_it(batch_project, run_job):
                ours = rows.inline([{"id": "z"}])
                run_job(Job(model="openai:gpt-5-mini", rows=ours, prompt="{id}"))
                batch_project.answer("hello.first", {"a": fail(400, "Invalid schema."), ...: "Hi"})
                assert batch_project.apply().result.failed == 0
            """
        },
    )
    assert "3 items, 1 without an output; 3 requests in 2 batches" in said, said
    assert 'test_hello.job["z"] succeeded: ' in said
    assert 'hello.first["a"] failed: invalid_request_error: Invalid schema.' in said
    assert "    user: Greet Ada." in said
    assert 'hello.first["b"] succeeded: Hi' in said


def test_the_folder_of_the_project_can_be_told(run_pytest: RunPytest) -> None:
    said = run_pytest(
        "-q",
        **{f"inner/{name}": text for name, text in PROJECT.items()},
        **{
            "pytest.ini": "[pytest]\nbatchspec_project = inner\n",
            "test_hello.py": """
            from specs.hello import second

            def test_it(batch_project, run_job):
                assert batch_project.apply().result.done
                assert set(run_job(second, answers="short").outputs.values()) == {"short"}
            """,
        },
    )
    assert "1 passed" in said, said


def test_specs_that_do_not_load_are_told(run_pytest: RunPytest) -> None:
    said = run_pytest(
        "-q",
        **PROJECT,
        **{
            "specs/broken.py": "from batchspec import Job\nx = Job(model='nonsense')\n",
            "test_hello.py": "def test_it(batch_project):\n    batch_project.apply()\n",
        },
    )
    assert "SpecError: " in said
    assert "specs/broken.py:2" in said


GUARDED = """
import socket, os

def reach():
    try:
        socket.gethostbyname("api.openai.com")
    except BaseException:
        pass

def test_with_a_fixture(run_job):
    assert "OPENAI_API_KEY" not in os.environ
    reach()

def test_with_the_other(batch_project):
    reach()
"""


def test_tests_with_a_fixture_are_guarded(run_pytest: RunPytest) -> None:
    said = run_pytest("-q", **{"test_guarded.py": GUARDED})
    assert "2 failed" in said
    assert said.count("tried to reach 'api.openai.com'") >= 2


def test_nothing_is_guarded_where_all_is_allowed(run_pytest: RunPytest) -> None:
    allowed = "import os\ndef test_it(run_job):\n    assert os.environ['OPENAI_API_KEY']\n"
    said = run_pytest(
        "-q", **{"pytest.ini": "[pytest]\nbatchspec_network = allow\n", "test_it.py": allowed}
    )
    assert "1 passed" in said, said
