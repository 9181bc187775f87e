"""Names survive the way to people, to the provider and back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchspec.ids import (
    Fingerprint,
    JobAddress,
    Member,
    answer_key,
    custom_id,
    item_address,
    member,
    names,
    parse_address,
    parse_custom_id,
    uuid7,
)

FINGERPRINTS = st.binary(min_size=32, max_size=32).map(Fingerprint)
JOBS = st.from_regex(r"[a-z_][a-z0-9_]{0,8}(\.[a-z_][a-z0-9_]{0,8}){1,2}", fullmatch=True)
MS = st.integers(0, 2**48 - 1)
RANDOM = st.binary(min_size=10, max_size=10)


@given(JOBS, st.text())
def test_an_item_s_address_leads_back_to_job_and_key(job: str, key: str) -> None:
    assert parse_address(item_address(JobAddress(job), key)) == (job, key)


@pytest.mark.parametrize(
    "key", ["", '"', "\\", '\\"', '"]', "a[b]", "line\nbreak", "ключ", "a\u2028b", '"]["x']
)
def test_odd_keys_are_told_apart(key: str) -> None:
    assert parse_address(item_address(JobAddress("m.j"), key)) == ("m.j", key)


MEMBERS = st.builds(
    Member,
    JOBS.map(JobAddress),
    st.none() | st.text(min_size=1),
    st.integers(1, 999_999_999),
)


@given(MEMBERS, st.text())
def test_an_address_leads_back_to_variant_and_sample(of: Member, key: str) -> None:
    assert member(of.address) == of
    assert parse_address(item_address(of.address, key)) == (of.address, key)
    assert names(item_address(of.address, key), of.address)
    assert names(of.group, of.address)


@given(st.sets(st.tuples(st.text(), MEMBERS), max_size=4))
def test_keys_of_answers_are_unique(found: set[tuple[str, Member]]) -> None:
    """Of one job: either all of its members have a variant or none has."""
    one = {(key, of.variant or "", of.sample) for key, of in found}
    group = JobAddress("m.j")
    keys = [answer_key(key, Member(group, variant, n)) for key, variant, n in one]
    assert len(set(keys)) == len(one)


@pytest.mark.parametrize(
    ("address", "of", "key"),
    [
        ('m.j["a","b"]', "m.j@b", "a"),
        ('m.j["a", "b", 2]', "m.j@b#2", "a"),
        ('m.j["a",2]', "m.j#2", "a"),
        ('m.j["a",1]', "m.j", "a"),
        ('m.j@b["a"]', "m.j@b", "a"),
        ('m.j@b["a",2]', "m.j@b#2", "a"),
        ('m.j["a","x#2"]', "m.j@x%232", "a"),
        ('m.j["a","x"y"]', 'm.j["a","x"y"]', None),
        ('m.j["a",0]', 'm.j["a",0]', None),
    ],
)
def test_an_address_names_variant_and_sample(address: str, of: str, key: str | None) -> None:
    assert parse_address(address) == (of, key)


@pytest.mark.parametrize(
    ("pattern", "job", "is_meant"),
    [
        ("m.j", "m.j@b#2", True),
        ("m.j@b", "m.j@b#2", True),
        ("m.j@b", "m.j@bc", False),
        ("m.j@b#2", "m.j@b", False),
        ("m.*", "m.j@b", True),
        ("m.j@*", "m.j@b", True),
        ("m.j", "m.jj", False),
        ('m.j["a"]', "m.j@b#2", True),
        ('m.j["a"]', "m.j", True),
        ('m.j["a"]', "m.j#2", False),
        ('m.j["a","b"]', "m.j@b", True),
        ('m.j["a","b"]', "m.j@b#2", False),
        ('m.j["a","[b]*"]', "m.j@%5Bb%5D%2A", True),
    ],
)
def test_an_address_means_a_job_with_all_its_variants(
    pattern: str, job: str, is_meant: bool
) -> None:
    assert names(pattern, JobAddress(job)) is is_meant


def test_an_address_looks_as_people_write_it() -> None:
    assert item_address(JobAddress("tickets.triage"), "row-17") == 'tickets.triage["row-17"]'


@pytest.mark.parametrize("text", ["tickets.triage", "m.j[1]", 'm.j["open', 'm.j["a"', ""])
def test_a_text_without_a_quoted_key_is_a_job(text: str) -> None:
    assert parse_address(text) == (text, None)


@given(FINGERPRINTS, st.integers(1, 999_999))
def test_a_custom_id_leads_back_to_fingerprint_and_turn(print_: Fingerprint, turn: int) -> None:
    text = custom_id(print_, turn)
    assert parse_custom_id(text) == (print_[:8], turn)
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", text), "the strictest pattern among providers"


@pytest.mark.parametrize(
    "text", ["", "request-1", "0123456789abcdef", "0123456789ABCDEF-1", "0123456789abcdef-1\n"]
)
def test_a_custom_id_that_is_not_ours_is_known(text: str) -> None:
    assert parse_custom_id(text) is None


@given(MS, MS, RANDOM, RANDOM)
def test_ids_sort_by_time(first: int, second: int, one: bytes, other: bytes) -> None:
    if first != second:
        assert (uuid7(first, one) < uuid7(second, other)) == (first < second)


@given(MS, RANDOM)
def test_an_id_is_a_uuid_of_version_seven(ms: int, random: bytes) -> None:
    text = uuid7(ms, random)
    assert re.fullmatch(r"[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}", text)
    assert int(text[:12], 16) == ms


def test_ids_of_one_millisecond_differ_by_their_random_part() -> None:
    assert uuid7(1, b"\0" * 10) != uuid7(1, b"\0" * 9 + b"\1")
