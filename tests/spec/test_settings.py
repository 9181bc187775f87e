"""Settings: known names, known values, and a way to send anything else."""

from typing import Any

import pytest

from batchspec.spec.settings import body_settings, setting_problems

NAN = float("nan")
LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"temprature": 1}, "'temprature' is not a known setting. Did you mean 'temperature'?"),
        ({"num_ctx": 1}, "settings={\"extra_body\": {'num_ctx': …}}"),
        ({"temperature": 3}, "temperature: Input should be less than or equal to 2 (got 3)."),
        ({"temperature": "0"}, "temperature: Input should be a valid number (got '0')."),
        ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1 (got 0)."),
        ({"stream": True}, "'stream' is not a setting: a batch cannot stream."),
        ({"background": True}, "'background' is not a setting"),
        ({"extra_body": {"stream": True}}, "'stream' is not a setting: a batch cannot stream."),
        ({"model": "x"}, "'model' is not a setting: set `model` of the Job."),
        ({"seed": 1, "extra_body": {"seed": 2}}, "'seed' is set twice"),
        ({"extra_body": []}, "extra_body: Input should be a valid dictionary"),
        ({"extra_body": {"a": [0, NAN]}}, "extra_body.a[1] cannot be sent as JSON: Out of range"),
        ({"extra_body": {"a": object()}}, "extra_body.a cannot be sent as JSON: Object of type"),
        ({"extra_body": {"a": {"b": 1, 2: 3}}}, "extra_body.a cannot be sent as JSON: '<' not"),
        ({"extra_body": {"a": LOOP}}, "cannot be sent as JSON: it is nested too deeply, or"),
        ({"tool_choice": {"a": NAN}}, "tool_choice.a cannot be sent as JSON"),
    ],
)
def test_a_wrong_setting_is_told(settings: dict[str, Any], told: str) -> None:
    assert told in " ".join(setting_problems(settings))


def test_good_settings_become_body_parameters() -> None:
    settings: dict[str, Any] = {
        "temperature": 0,
        "top_p": 1.0,
        "reasoning_effort": "low",
        "stop": ["\n"],
        "extra_body": {"num_ctx": 8192},
    }
    assert setting_problems(settings) == []
    assert body_settings(settings) == {
        "temperature": 0,
        "top_p": 1.0,
        "reasoning_effort": "low",
        "stop": ["\n"],
        "num_ctx": 8192,
    }
