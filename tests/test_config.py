"""Configuration: which source wins, and what an error tells."""

from decimal import Decimal
from pathlib import Path

import pytest

from batchspec.config import Settings, load_settings
from batchspec.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BATCHSPEC_ENV", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_defaults_hold_without_any_file(tmp_path: Path) -> None:
    """A project without configuration has the documented values and the provider openai."""
    settings = load_settings(tmp_path)
    assert settings == Settings()
    assert (settings.env, settings.specs, settings.state) == ("default", "specs", "state")
    assert (settings.poll_interval, settings.max_poll_interval) == (15.0, 600.0)
    assert settings.providers["openai"].limits.max_requests == 50_000
    assert settings.max_cost is None


def test_each_source_wins_over_the_ones_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flags, environment, batchspec.toml, pyproject.toml, defaults: in this order, key by key."""
    (tmp_path / "pyproject.toml").write_text(
        '[tool.batchspec]\nenv = "py"\nretries = 1\nstate = "py"\nspecs = "py"\n'
        "[tool.batchspec.providers.openai.limits]\nmin_requests = 2\nmax_requests = 3\n"
    )
    (tmp_path / "batchspec.toml").write_text(
        'env = "toml"\nretries = 2\nstate = "toml"\n'
        '[providers.openai.limits]\nmin_requests = 4\nmax_enqueued_tokens = {"gpt-5.4" = 9}\n'
    )
    monkeypatch.setenv("BATCHSPEC_ENV", "shell")
    monkeypatch.setenv("BATCHSPEC_RETRIES", "5")
    monkeypatch.setenv("BATCHSPEC_PROVIDERS__OPENAI__LIMITS__MAX_BYTES", "6")
    settings = load_settings(tmp_path, env="flag", max_cost=None)
    limits = settings.providers["openai"].limits
    assert (settings.env, settings.retries, settings.state, settings.specs) == (
        "flag",
        5,
        "toml",
        "py",
    )
    assert (limits.min_requests, limits.max_requests, limits.max_bytes) == (4, 3, 6)
    assert limits.max_enqueued_tokens == {"gpt-5.4": 9}


def test_a_further_provider_and_its_prices_stand_beside_openai(tmp_path: Path) -> None:
    """Prices are exact decimals of US dollars per million tokens."""
    (tmp_path / "batchspec.toml").write_text(
        '[providers.eu]\napi_key_env = "EU_KEY"\nbase_url = "https://eu.example/v1"\n'
        '[providers.eu.prices."m-1"]\ninput = 0.1\noutput = 2\n'
    )
    settings = load_settings(tmp_path)
    assert sorted(settings.providers) == ["eu", "openai", "openai-responses"]
    assert settings.provider("eu").prices["m-1"].input == Decimal("0.1")
    assert settings.base_url("eu") == "https://eu.example/v1"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("poll_intervall = 3", "there is no key 'poll_intervall'. Did you mean 'poll_interval'?"),
        (
            "[providers.openai.limits]\nmin_request = 3",
            "there is no key 'providers.openai.limits.min_request'. Did you mean 'min_requests'?",
        ),
        (
            "[simulator]\nspede = 2",
            "there is no key 'simulator.spede'. Did you mean 'speed'?",
        ),
        (
            "[providers.openai.prices.x]\nin = 2\noutput = 1",
            "there is no key 'providers.openai.prices.x.in'.",
        ),
        (
            "[providers.openai.prices.x]\ninput = 2",
            "providers.openai.prices.x.output: Field required.",
        ),
        ("[simulator]\nanswers = 3", "simulator.answers: write a reference, or a table"),
        (
            '[simulator.answers]\n"a.*" = 3',
            "simulator.answers: write a reference, or a table",
        ),
        ("retries = -1", "retries: Input should be greater than or equal to 0."),
        ('[providers.laptop]\ntype = "live"', "providers.laptop.base_url: Field required."),
        (
            '[providers.laptop]\ntype = "live"\nbase_url = "localhost:11434"',
            "providers.laptop.base_url: 'localhost:11434' is no URL such as http://127",
        ),
        (
            '[providers.laptop]\ntype = "live"\nbase_url = "http://x/v1"\ntimeot = 3',
            "there is no key 'providers.laptop.timeot'. Did you mean 'timeout'?",
        ),
        ('[providers.laptop]\ntype = "life"', "providers.laptop.type: 'life' is none of"),
        ('[providers."a/b"]\ntype = "openai"', "providers: 'a/b' is no name; a provider is named"),
        ('env = "a/b"', "env: String should match pattern"),
        ("retries = ", "is not valid TOML: Invalid value (at end of document)"),
    ],
    ids=lambda value: value.splitlines()[0] if isinstance(value, str) else None,
)
def test_a_problem_names_the_file_and_the_way_out(tmp_path: Path, text: str, told: str) -> None:
    """Unknown keys and wrong values are errors that say where they stand."""
    (tmp_path / "batchspec.toml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(tmp_path)
    message = str(caught.value)
    assert told in message
    assert str(tmp_path / "batchspec.toml") in message


def test_all_problems_of_all_sources_are_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistyped variable is not passed over in silence: it may be a budget."""
    (tmp_path / "pyproject.toml").write_text("[tool.batchspec]\nbudget = 1\n")
    monkeypatch.setenv("BATCHSPEC_MAX_COSTS", "1")
    monkeypatch.setenv("BATCHSPEC_RETRIES", "many")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[0] == "The configuration is not right."
    assert "the environment: there is no key 'BATCHSPEC_MAX_COSTS'" in lines[-1] + lines[-2]
    assert any(line.startswith("  the environment: BATCHSPEC_RETRIES: Input") for line in lines)
    assert any("pyproject.toml [tool.batchspec]: there is no key 'budget'" in x for x in lines)


def test_a_variable_that_is_no_table_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nested values in the environment are JSON, or keys joined with `__`."""
    monkeypatch.setenv("BATCHSPEC_PROVIDERS", "openai")
    with pytest.raises(ConfigurationError, match="environment is not right"):
        load_settings(tmp_path)


def test_the_key_is_read_when_asked_for_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that prints settings or a key can leak it."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    settings = Settings()
    key = settings.api_key("openai")
    assert key.get_secret_value() == "sk-very-secret"
    assert "very-secret" not in f"{key!r}{key}{settings!r}{settings.model_dump_json()}"


def test_a_missing_key_names_the_variable_and_the_way_out() -> None:
    """The message ends with what works without a key."""
    with pytest.raises(ConfigurationError, match=r"set OPENAI_API_KEY.*`--simulate`\.$"):
        Settings().api_key("openai")


def test_an_unknown_provider_is_told_with_the_likeliest_one() -> None:
    """It also says how to declare a new one."""
    with pytest.raises(ConfigurationError, match=r"Did you mean 'openai'\?.*providers.opanai"):
        Settings().provider("opanai")


def test_openai_base_url_counts_unless_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the built-in provider's variable; other providers have their own."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    (tmp_path / "batchspec.toml").write_text("[providers.eu]\n")
    settings = load_settings(tmp_path)
    assert settings.base_url("openai") == "http://127.0.0.1:1/v1"
    assert settings.base_url("eu") is None
    (tmp_path / "batchspec.toml").write_text('[providers.openai]\nbase_url = "https://x/v1"\n')
    assert load_settings(tmp_path).base_url("openai") == "https://x/v1"


def test_an_unreadable_file_is_told(tmp_path: Path) -> None:
    """A folder in the file's place is not taken for no configuration."""
    (tmp_path / "batchspec.toml").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings(tmp_path)


def test_answers_are_one_reference_or_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the environment, where a table is JSON."""
    file = tmp_path / "batchspec.toml"
    file.write_text('[simulator.answers]\n"tickets.*" = "a.py:f"\n')
    assert load_settings(tmp_path).simulator.answers == {"tickets.*": "a.py:f"}
    file.write_text('[simulator]\nanswers = "a.py:f"\n')
    assert load_settings(tmp_path).simulator.answers == "a.py:f"
    for text, answers in (("b.py:f", "b.py:f"), ('{"*": "b.py:f"}', {"*": "b.py:f"})):
        monkeypatch.setenv("BATCHSPEC_SIMULATOR__ANSWERS", text)
        assert load_settings(tmp_path).simulator.answers == answers


def test_openai_responses_is_openai_at_its_other_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://proxy.example/v1")
    text = '[providers.openai]\napi_key_env = "WORK_KEY"\nlimits.min_requests = 2\n'
    (tmp_path / "batchspec.toml").write_text(text)
    chats, responses = map(load_settings(tmp_path).provider, ("openai", "openai-responses"))
    assert responses == chats.model_copy(update={"endpoint": "/v1/responses"})
    assert load_settings(tmp_path).base_url("openai-responses") == "https://proxy.example/v1"
    more = "[providers.openai-responses]\nlimits.min_requests = 5\n"
    (tmp_path / "batchspec.toml").write_text(text + more)
    responses = load_settings(tmp_path).provider("openai-responses")
    assert (responses.endpoint, responses.api_key_env) == ("/v1/responses", "WORK_KEY")
    assert responses.limits.min_requests == 5


def test_a_live_provider_may_speak_responses(tmp_path: Path) -> None:
    text = '[providers.laptop]\ntype = "live"\nbase_url = "http://x/v1"\nendpoint = "{}"\n'
    (tmp_path / "batchspec.toml").write_text(text.format("/v1/responses"))
    assert load_settings(tmp_path).provider("laptop").endpoint == "/v1/responses"
    (tmp_path / "batchspec.toml").write_text(text.format("/v1/replies"))
    with pytest.raises(ConfigurationError, match=r"providers\.laptop\.endpoint: Input should be"):
        load_settings(tmp_path)
