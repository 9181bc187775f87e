"""A state is bound, per provider, to the account that its open batches are at."""

from typing import Any

import pytest
from worlds import Fault

from batchspec.config import Settings, load_settings
from batchspec.errors import ExitCode, ProviderError, RefusedError
from batchspec.ids import BatchId, LaneId
from batchspec.project.accounts import account_of, at_provider
from batchspec.state.events import AccountBound
from batchspec.state.records import BatchRecord
from drift.conftest import Accounts


def bound(world: Accounts) -> dict[str, str]:
    with world.open() as project, project.reader() as reader:
        return reader.accounts()


# --- what an account is called


KEY = "sk-secret-key"


@pytest.mark.parametrize(
    ("table", "variables", "account"),
    [
        ({}, {}, "https://api.openai.com/v1 key fbd9793f1b90"),
        ({}, {"OPENAI_BASE_URL": "http://u:p@h/v1/?t=s"}, "http://h/v1 key fbd9793f1b90"),
        ({"base_url": "https://g/v1"}, {}, "https://g/v1 key fbd9793f1b90"),
        ({"account": "work"}, {}, "https://api.openai.com/v1 account work"),
        (
            {},
            {"OPENAI_ORG_ID": "org-1", "OPENAI_PROJECT_ID": "proj_1"},
            "https://api.openai.com/v1 organization org-1 project proj_1 key fbd9793f1b90",
        ),
        ({"type": "live", "base_url": "http://h/v1"}, {}, None),
    ],
)
def test_the_name_of_an_account_gives_no_secret_away(
    monkeypatch: pytest.MonkeyPatch,
    table: dict[str, str],
    variables: dict[str, str],
    account: str | None,
) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = Settings.model_validate({"providers": {"openai": table}})
    assert account_of(settings, "openai") == account


def test_the_account_is_configured_by_a_name(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCHSPEC_PROVIDERS__OPENAI__ACCOUNT", "work")
    provider = load_settings(str(tmp_path)).provider("openai")
    assert getattr(provider, "account", None) == "work"


# --- what is at the provider


@pytest.mark.parametrize(
    ("changes", "there"),
    [
        ({}, False),
        ({"uploads": 1}, False),
        ({"input_file_id": "file-1"}, True),
        ({"create_at": 5.0}, True),
        ({"remote_id": "batch_1", "phase": "submitted"}, True),
    ],
)
def test_a_batch_is_at_the_provider_as_soon_as_anything_of_it_may_be(
    changes: dict[str, Any], there: bool
) -> None:
    batch = BatchRecord(id=BatchId("b"), lane=LaneId(1), **changes)
    assert bool(at_provider([batch], {LaneId(1)})) is there
    assert not at_provider([batch], {LaneId(2)})


# --- what it is good for


def test_failure_25_another_account_is_not_asked_for_batches_it_does_not_have(
    world: Accounts,
) -> None:
    """Row 25: resumed with another key, everything would look as if it were gone."""
    world.job("a", "b")
    world.apply(detach=True)
    world.key = "other"
    before = len(world.asked)
    with pytest.raises(RefusedError) as caught:
        world.apply()
    assert caught.value.exit_code == ExitCode.REFUSED
    assert "http://simulator/v1 key first" in str(caught.value)
    assert "http://simulator/v1 key other" in str(caught.value)
    assert "--rebind openai" in str(caught.value)
    assert len(world.asked) == before
    world.key = "first"
    assert world.apply().done
    assert world.created == 1


def test_a_batch_whose_creation_got_no_answer_binds_as_well(world: Accounts) -> None:
    """Another account's list does not have it: it would be paid for a second time."""
    world.job("a")
    world.wire.faults = [
        Fault("POST", "/batches", after=True),
        Fault("GET", "/batches", 401, times=None),
    ]
    with pytest.raises(ProviderError):
        world.apply()
    world.key, world.wire.faults = "other", []
    with pytest.raises(RefusedError, match="1 batch is open at another account"):
        world.apply()
    world.key = "first"
    assert world.apply().done
    assert world.created == 1


def test_the_binding_moves_silently_when_nothing_is_open(world: Accounts) -> None:
    world.job("a")
    world.apply()
    assert bound(world) == {"openai": "http://simulator/v1 key first"}
    world.key = "other"
    world.job("a", "b")
    assert world.apply().done
    assert bound(world) == {"openai": "http://simulator/v1 key other"}
    moves = [e for e in world.hook.events if isinstance(e, AccountBound)]
    assert moves == []  # of interest to the journal alone
    with world.open() as project, project.reader() as reader:
        assert [b.account for b in reader.batches()] == [
            "http://simulator/v1 key first",
            "http://simulator/v1 key other",
        ]
        kinds = [kind for _, _, kind, _ in reader.journal()]
        assert kinds.count("AccountBound") == 2


def test_a_state_without_a_binding_takes_the_first_account_it_meets(world: Accounts) -> None:
    """As those of earlier versions are."""
    world.job("a")
    world.apply(detach=True)
    with world.open() as project:
        project.store().db.execute("DELETE FROM accounts")
        project.store().db.execute("UPDATE batches SET account = NULL")
    world.key = "rotated"
    assert world.apply().done
    assert bound(world) == {"openai": "http://simulator/v1 key rotated"}
