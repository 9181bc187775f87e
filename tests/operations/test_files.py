"""The files of docs/operations.md: what they name exists, and tools find no fault with them."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import pytest
import yaml

from batchspec.cli.main import COMMANDS, batchspec
from batchspec.config import Settings
from batchspec.state.watching import ConditionType
from batchspec.telemetry.metrics import METRICS
from batchspec.testing.clock import VirtualClock
from batchspec.watch.endpoints import Heard, app
from batchspec.watch.health import Health
from batchspec.watch.supervisor import LOAD_TIMEOUT

DOCS = Path(__file__).parents[2] / "docs"
UNIT = DOCS / "systemd" / "batchspec@.service"
CREDENTIALS = DOCS / "systemd" / "credentials.conf"
CONTAINERFILE = DOCS / "container" / "Containerfile"
KUBERNETES = DOCS / "kubernetes" / "batchspec.yaml"
ALERTS = DOCS / "prometheus" / "alerts.yml"


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def keys(unit: Path) -> dict[str, str]:
    """Return the keys of a unit; the last value of each counts."""
    lines = unit.read_text().splitlines()
    pairs = [line.partition("=") for line in lines if re.match(r"[A-Z]\w+=", line)]
    return {key: value for key, _, value in pairs}


def options() -> set[str]:
    assert "watch" in COMMANDS
    command = batchspec.get_command(click.Context(batchspec), "watch")
    assert command is not None
    return {name for one in command.params for name in one.opts}


def used(words: list[str]) -> set[str]:
    """Return the options of a call of `batchspec watch`."""
    assert "watch" in words
    return {word.partition("=")[0] for word in words if word.startswith("--")}


def routes() -> set[str]:
    served = app(live=list, ready=list, metrics=None, secrets={}, look_at=lambda _batch: None)
    return {route.path for route in served.routes if hasattr(route, "path")}


def documents() -> Iterator[dict[str, Any]]:
    yield from yaml.safe_load_all(KUBERNETES.read_text())


@pytest.mark.parametrize("unit", [UNIT, CREDENTIALS], ids=lambda p: p.name)
def test_what_units_call_exists(unit: Path) -> None:
    told = keys(unit)["ExecStart"].replace("'", " ").replace("$$", "$")
    called = used(shlex.split(told.partition("exec ")[2] or told))
    assert called
    assert called <= options()


def test_the_example_of_options_in_the_unit_exists() -> None:
    (example,) = re.findall(r'WATCH_OPTIONS="([^"]+)"', UNIT.read_text())
    assert used(["watch", *shlex.split(example)]) <= options()


def test_the_unit_waits_as_long_as_batchspec_does() -> None:
    told = keys(UNIT)
    assert (told["Type"], told["KillMode"], told["KillSignal"]) == ("notify", "mixed", "SIGTERM")
    assert told["SuccessExitStatus"] == "130 143"
    assert told["RestartPreventExitStatus"] == "64"
    assert float(told["TimeoutStartSec"]) > LOAD_TIMEOUT
    assert told["ExecReload"].startswith("/bin/kill -HUP")
    assert told["Environment"].startswith("BATCHSPEC_STATE=")
    assert f"({Settings().health_timeout:.0f} s)" in UNIT.read_text()


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    verify = tool("systemd-analyze")
    # The program need not be there for the unit to be right.
    text = UNIT.read_text().replace("/opt/batchspec/bin/batchspec", "/bin/true")
    (tmp_path / UNIT.name).write_text(text)
    folder = tmp_path / f"{UNIT.name}.d"
    folder.mkdir()
    (folder / CREDENTIALS.name).write_text(CREDENTIALS.read_text())
    for copy in (tmp_path / UNIT.name, folder / CREDENTIALS.name):
        copy.chmod(0o644)
    ran = subprocess.run(
        [verify, "verify", "--man=no", str(tmp_path / UNIT.name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_image_calls_what_exists() -> None:
    text = CONTAINERFILE.read_text()
    (words,) = re.findall(r"^CMD (\[.+\])$", text, re.MULTILINE)
    assert used(yaml.safe_load(words)) <= options()
    (checked,) = re.findall(r"127\.0\.0\.1:8080(/\w+)", text)
    assert checked in routes()
    assert "\nUSER 10001\n" in text
    assert "\nSTOPSIGNAL SIGTERM\n" in text
    assert not re.search(r"(?i)(key|secret|token)\s*=", text)


def test_a_linter_finds_no_fault_with_the_containerfile() -> None:
    subprocess.run([tool("hadolint"), str(CONTAINERFILE)], check=True)


def test_pods_call_what_exists() -> None:
    workload, service = documents()
    pod = workload["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert used(container["args"]) <= options()
    probes = {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("liveness", "readiness")}
    assert probes == {"/livez", "/readyz"} <= routes()
    assert workload["spec"]["replicas"] == 1
    (name,) = {mount["name"] for mount in container["volumeMounts"]} - {"tmp"}
    assert workload["spec"]["volumeClaimTemplates"][0]["metadata"]["name"] == name
    assert (
        service["spec"]["selector"].items()
        <= workload["spec"]["template"]["metadata"]["labels"].items()
    )


def test_rules_name_metrics_and_labels_that_exist() -> None:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    known = {metric.exposed: metric for metric in METRICS}
    values = {*get_args(ConditionType), *get_args(Heard)}
    for rule in group["rules"]:
        for name, labels in re.findall(r"\b(batchspec_\w+)(?:\{([^}]*)\})?", rule["expr"]):
            assert name in known, rule["alert"]
            for label, value in re.findall(r'(\w+)="(\w+)"', labels):
                assert label in known[name].labels, rule["alert"]
                assert value in {*known[name].known, *values}, rule["alert"]


def test_every_check_and_condition_has_an_answer() -> None:
    told = (DOCS / "operations.md").read_text()
    checks = {check.name for check in Health(VirtualClock()).ready()} | {"watcher", "engine"}
    assert not {name for name in checks if f"| `{name}` |" not in told}
    # The two others say how far it is, which is well either way.
    wrong = {*get_args(ConditionType)} - {"Progressing", "Converged"}
    assert not {name for name in wrong if f"| `{name}` is " not in told}


def test_every_alert_has_an_answer() -> None:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    told = (DOCS / "operations.md").read_text()
    assert not [rule["alert"] for rule in group["rules"] if f"`{rule['alert']}`" not in told]


def test_alerts_fire_when_they_should_and_not_else() -> None:
    promtool = tool("promtool")
    for words in (
        ["check", "config", str(DOCS / "prometheus" / "prometheus.yml")],
        ["test", "rules", str(Path(__file__).parent / "alerts_test.yml")],
    ):
        ran = subprocess.run([promtool, *words], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
