"""Lines of batches somebody else made: what they ask, whatever they are."""

import json

import pytest

from batchspec.plan.foreign import body_difference, our_request, read_line, same_model

BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "seed": 1}


def line(**more: object) -> bytes:
    whole = {"custom_id": "a", "method": "POST", "url": "/v1", "body": BODY} | more
    return json.dumps(whole).encode()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"no json",
        b"[]",
        b"null",
        b"{}",
        line(custom_id=None),
        line(custom_id=7),
        line(body=None),
        line(body=[]),
        line().replace(b'"a"', b'"\\ud800"'),
        line().replace(b"1", b"NaN"),
        line().replace(b"1", b"1e999"),
        line().replace(b"1", b"1" * 5000),
        line().replace(b"hi", b"\xff"),
        b"[" * 100_000,
        line()[:-5],
    ],
)
def test_what_is_no_request(text: bytes) -> None:
    assert read_line(text) is None


def test_the_order_of_keys_numbers_and_a_byte_order_mark_make_no_difference() -> None:
    turned = dict(reversed(BODY.items())) | {"seed": 1.0}
    one, other = read_line(line()), read_line(b"\xef\xbb\xbf" + line(body=turned))
    assert one is not None
    assert one == other
    assert (one.custom_id, one.model) == ("a", "m")


def test_what_is_said_alone() -> None:
    one, other = read_line(line()), read_line(line(body=BODY | {"seed": 2, "model": "n"}))
    assert one is not None
    assert other is not None
    assert (one.spoken == other.spoken, one.request == other.request) == (True, False)
    difference = body_difference(one.body, other.body)
    assert (difference.path, difference.before, difference.after) == ("body.model", '"m"', '"n"')


def test_a_row_of_ours() -> None:
    first = b'","method":"POST","url":"/v1","body":{"model":"m","seed":1,"messages":'
    ours = our_request((first, b"}}"), json.dumps(BODY["messages"]).encode())
    theirs = read_line(line())
    assert theirs is not None
    assert ours.request == theirs.request


@pytest.mark.parametrize(
    ("told", "same"),
    [("gpt-5", True), ("gpt-5-2026-03-05", True), ("gpt-5-mini", False), ("gpt-4", False)],
)
def test_the_name_of_a_model(told: str, same: bool) -> None:
    assert same_model(told, "gpt-5") is same
