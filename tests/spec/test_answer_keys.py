"""Keys of answers say which variant and sample gave them."""

from hypothesis import given
from hypothesis import strategies as st

from batchspec.ids import JobAddress, Member, answer_key, answered_by

GROUP = JobAddress("m.j")
TEXT = st.text(alphabet="a,\\2\n", max_size=6)


@given(TEXT, st.none() | TEXT.filter(bool), st.integers(1, 12))
def test_a_key_is_taken_apart_as_it_was_made(key: str, variant: str | None, sample: int) -> None:
    of = Member(GROUP, variant, sample)
    made = answer_key(key, of)
    assert answered_by(GROUP, made, varied=variant is not None) == (of.address, key)
