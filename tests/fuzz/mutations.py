"""What can become of result files on their way: seeded, from one odd byte to another file."""

import gzip
import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

Mutate = Callable[[Random, bytes], bytes]
_MARK = "@@evil@@"
EVIL: Sequence[bytes] = (
    b"null", b"true", b"false", b"0", b"-1", b"-0.0", b"1e400", b"-1e400", b"NaN", b"Infinity",
    b"-Infinity", b"1" + b"0" * 5000, b"9007199254740993", b"18446744073709551616", b"1.5",
    b"-200", b"2e2", b"200.0", b"1e2", b"99999999999999999999", b"200", b"500", b"undefined",
    b"'x'", b'""', b'"x"', b'" "', b'"200"', b'"500"', b'"{}"', b'"[]"', b'"null"', b"[]", b"{}",
    b"[null]", b"[[]]", b'[""]', b"[1]", b'{"a":null}', b"[{}]", b'{"message":"m","code":7}',
    b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u0000"', b'"a\\u2028b\xe2\x80\xa9c\xc2\x85"', b'"\xff"',
    b'"\xed\xa0\x80"', b"\x00", b"", b'"sk-proj-abcdefghijklmnop"', b'"' + b"long " * 20_000 + b'"',
    b"[" * 10_000 + b"]" * 10_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b"[" * 150 + b"]" * 150,
)  # fmt: skip
"""What is put in the place of a value, as it stands in the file; some is no JSON."""
_HTML = b"<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\n<body>nginx</body>\n"
_TARGETS = (
    ("response", "status_code"), ("response", "body", "usage"), ("response", "body", "choices"),
    ("response", "body", "usage", "prompt_tokens"),
    ("response", "body", "usage", "completion_tokens"),
    ("response", "body", "choices", 0, "message", "tool_calls"), ("custom_id",), ("response",),
    ("response", "body", "choices", 0, "message", "content"), ("response", "body"), ("error",),
    ("response", "body", "choices", 0, "message", "tool_calls", 0, "id"),
    ("response", "body", "choices", 0, "message", "tool_calls", 0, "function", "arguments"),
    ("response", "body", "choices", 0, "message", "tool_calls", 0, "function", "name"),
    ("response", "body", "choices", 0, "message", "refusal"), ("response", "body", "error"),
    ("response", "body", "choices", 0, "finish_reason"), ("response", "body", "model"),
)  # fmt: skip
"""Places that the codec reads."""


# --- one line


def _paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at] if at else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += _paths(inner, (*at, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += _paths(inner, (*at, index))
    return found


def _loaded(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _dumped(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def _put(line: bytes, path: Sequence[Any], raw: bytes) -> bytes:
    """Put raw bytes in the place of a value; a line without the place stays as it is."""
    data = _loaded(line)
    inner = data
    try:
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = _MARK
    except (TypeError, KeyError, IndexError):
        return line
    return _dumped(data).replace(b'"%s"' % _MARK.encode(), raw)


def _cut(random: Random, line: bytes) -> bytes:
    return line[: random.randrange(len(line) + 1)]


def _headless(random: Random, line: bytes) -> bytes:
    return line[random.randrange(len(line) + 1) :]


def _odd_byte(random: Random, line: bytes) -> bytes:
    at = random.randrange(len(line) + 1)
    odd = random.choice(
        [b"\x00", b"\xff", b"\xc3", b"\xe2\x80\xa8", b"\xc2\x85", b'"', b"\\", b"}"]
    )
    return line[:at] + odd + line[at + random.randrange(2) :]


def _flipped(random: Random, line: bytes) -> bytes:
    at = random.randrange(len(line) or 1)
    return line[:at] + bytes([random.randrange(256)]) + line[at + 1 :]


def _any_place(random: Random, line: bytes) -> bytes:
    paths = _paths(_loaded(line))
    return _put(line, random.choice(paths), random.choice(EVIL)) if paths else line


def _read_place(random: Random, line: bytes) -> bytes:
    return _put(line, random.choice(_TARGETS), random.choice(EVIL))


def _without(random: Random, line: bytes) -> bytes:
    data = _loaded(line)
    if not (paths := _paths(data)):
        return line
    path, inner = random.choice(paths), data
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return _dumped(data)


def _doubled_key(random: Random, line: bytes) -> bytes:
    key = random.choice([b"custom_id", b"response", b"error", b"status_code", b"content", b"body"])
    at = random.choice([n for n, byte in enumerate(line) if byte == ord("{")] or [0])
    return line[: at + 1] + b'"%s":%s,' % (key, random.choice(EVIL)) + line[at + 1 :]


def _as_text(random: Random, line: bytes) -> bytes:
    data = _loaded(line)
    if not isinstance(data, dict) or not isinstance(data.get("response"), dict):
        return line
    data["response"]["body"] = json.dumps(data["response"].get("body"))
    return _dumped(data)


def _odd_calls(random: Random, line: bytes) -> bytes:
    evil = random.choice(EVIL)
    call = b'{"id":"call_1","type":"function","function":{"name":"look","arguments":"{}"}}'
    shapes = [
        b'[{"type":"function","function":{"name":"look","arguments":%s}}]' % evil,
        b"[%s,%s]" % (call, call),
        b"[%s,%s]" % (call, evil),
        b'[{"id":%s,"function":{"name":"look","arguments":"{"}}]' % evil,
        b'[{"id":"c","function":{"name":%s,"arguments":"{}"}}]' % evil,
        b'[{"id":"c","function":{"name":"look","arguments":"\\ud800"}}]',
        b'{"0":%s}' % call,
        b"[" + b",".join([call] * 50) + b"]",
    ]
    path = ("response", "body", "choices", 0, "message", "tool_calls")
    return _put(line, path, random.choice(shapes))


def _spaces(random: Random, line: bytes) -> bytes:
    return random.choice([b" ", b"\t", b"\r", b"\x0b", b"\xef\xbb\xbf"]) + line + b" \r"


LINES: Sequence[Mutate] = (
    _cut, _headless, _odd_byte, _flipped, _any_place, _any_place, _any_place, _read_place,
    _read_place, _without, _doubled_key, _as_text, _odd_calls, _spaces,
)  # fmt: skip


def spoiled(random: Random, line: bytes) -> bytes:
    """Return a line after one accident, seldom after several."""
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        line = random.choice(LINES)(random, line)
    return line


# --- whole files

Lines = list[bytes]


def _swap_ids(random: Random, lines: Lines) -> None:
    if len(lines) > 1:
        a, b = random.sample(range(len(lines)), 2)
        one, two = (_loaded(lines[n]) for n in (a, b))
        if isinstance(one, dict) and isinstance(two, dict):
            one["custom_id"], two["custom_id"] = two.get("custom_id"), one.get("custom_id")
            lines[a], lines[b] = _dumped(one), _dumped(two)


def _foreign(random: Random, lines: Lines) -> None:
    if lines:
        at = random.randrange(len(lines))
        name = random.choice([b'"nobody-1"', b'""', b"null", b"7", b'"0000000000000000-1"'])
        lines[at] = _put(lines[at], ("custom_id",), name)


def _other_turn(random: Random, lines: Lines) -> None:
    """Let a line name the right request, of another turn."""
    if lines:
        at = random.randrange(len(lines))
        lines[at] = lines[at].replace(b'-1","response"', b'-2","response"')


def _doubled(random: Random, lines: Lines) -> None:
    if lines:
        line = random.choice(lines)
        lines.insert(random.randrange(len(lines) + 1), random.choice([line, spoiled(random, line)]))


def _lost(random: Random, lines: Lines) -> None:
    if lines:
        del lines[random.randrange(len(lines))]


def _spoil(random: Random, lines: Lines) -> None:
    if lines:
        at = random.randrange(len(lines))
        lines[at] = spoiled(random, lines[at])


def _spoil_all(random: Random, lines: Lines) -> None:
    lines[:] = [spoiled(random, line) for line in lines]


def _shuffled(random: Random, lines: Lines) -> None:
    random.shuffle(lines)


def _blank(random: Random, lines: Lines) -> None:
    lines.insert(
        random.randrange(len(lines) + 1), random.choice([b"", b"  ", b"\r", b"\x00", b"\xff"])
    )


def _joined(random: Random, lines: Lines) -> None:
    if len(lines) > 1:
        at = random.randrange(len(lines) - 1)
        lines[at : at + 2] = [
            lines[at] + random.choice([b"", b"\r", b"\xe2\x80\xa8"]) + lines[at + 1]
        ]


_FILES: Sequence[Callable[[Random, Lines], None]] = (
    _swap_ids, _foreign, _other_turn, _doubled, _lost, _spoil, _spoil, _spoil, _spoil_all,
    _shuffled, _blank, _joined,
)  # fmt: skip
_BYTES: Sequence[Mutate] = (
    _cut,
    _headless,
    _flipped,
    lambda random, data: b"",
    lambda random, data: b"\n",
    lambda random, data: _HTML,
    lambda random, data: gzip.compress(data, mtime=0),
    lambda random, data: data[: len(data) // 2] + _HTML,
    lambda random, data: b"\xef\xbb\xbf" + data,
    lambda random, data: data.replace(b"\n", b"\r\n"),
    lambda random, data: data.replace(b"\n", b"\r"),
    lambda random, data: data.rstrip(b"\n"),
    lambda random, data: data + data,
    lambda random, data: data.decode("utf-8", "replace").encode("utf-16"),
    lambda random, data: b"\x00" * 4096 + data,
    lambda random, data: b"[" + data.strip().replace(b"\n", b",") + b"]",
    lambda random, data: random.randbytes(2000),
    lambda random, data: b'{"error":{"message":"Oh.","type":"server_error"}}',
    lambda random, data: b"{" * 100_000,
    lambda random, data: data.replace(b"\n", b"\n\n") + b" " * 300_000,
)


def mutated(random: Random, output: Lines, errors: Lines) -> tuple[bytes, bytes]:
    """Return both result files of a batch after accidents; at times nothing happens to one."""
    files = [list(output), list(errors)]
    for _ in range(random.choice([0, 1, 1, 1, 2, 4])):
        random.choice(_FILES)(random, random.choice(files))
    if random.random() < 0.1:
        files.reverse()
    if random.random() < 0.1 and (lines := random.choice(files)):
        random.choice(files).append(lines.pop(random.randrange(len(lines))))
    data = [b"".join(line + b"\n" for line in lines) for lines in files]
    if random.random() < 0.35:
        at = random.randrange(2)
        data[at] = random.choice(_BYTES)(random, data[at])
    return data[0], data[1]
