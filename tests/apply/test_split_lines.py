"""Result files are split at one byte, however they arrive."""

from itertools import pairwise

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import stream

from batchspec.apply.download import split_lines


def split(*chunks: bytes) -> list[bytes]:
    async def run() -> list[bytes]:
        return [line async for lines in split_lines(stream(*chunks)) for line in lines]

    return anyio.run(run)


def chunked(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


@given(
    st.lists(st.binary().filter(lambda line: b"\n" not in line)), st.lists(st.integers(0, 10**6))
)
def test_chunks_do_not_matter(lines: list[bytes], cuts: list[int]) -> None:
    data = b"".join(line + b"\n" for line in lines)
    assert split(*chunked(data, cuts)) == lines


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"a", [b"a"]),
        (b"a\nb", [b"a", b"b"]),
        (b"a\n\nb\n", [b"a", b"", b"b"]),
        (b"a\r\nb\r\n", [b"a\r", b"b\r"]),
        ("a\u2028b\u0085c\n".encode(), ["a\u2028b\u0085c".encode()]),
        (b"a\x0bb\x0cc\n", [b"a\x0bb\x0cc"]),
    ],
    ids=["nothing", "no newline", "no final newline", "blank", "crlf", "unicode", "control"],
)
def test_only_a_newline_ends_a_line(data: bytes, lines: list[bytes]) -> None:
    assert split(data) == lines
    assert split(*(data[n : n + 1] for n in range(len(data)))) == lines
