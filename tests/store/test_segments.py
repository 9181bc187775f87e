"""Bodies on disk."""

import random
import shutil
import subprocess
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchspec.errors import StateError
from batchspec.ids import RecordRef
from batchspec.store.segments import (
    FRAME_RECORDS,
    SegmentReader,
    SegmentWriter,
    pack_ref,
    segment_path,
    unpack_ref,
)

RECORDS = st.lists(st.binary(max_size=200).map(lambda raw: raw.replace(b"\n", b" ")), max_size=50)
SHARED_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(folder: Path, number: int, records: list[bytes]) -> list[RecordRef]:
    path = segment_path(folder, number)
    path.unlink(missing_ok=True)
    with SegmentWriter(path, number) as segment:
        return [segment.append(record) for record in records]


@SHARED_FOLDER
@given(RECORDS)
def test_what_is_written_is_read(tmp_path: Path, records: list[bytes]) -> None:
    refs = written(tmp_path, 1, records)
    reader = SegmentReader(tmp_path)
    assert [reader.get(ref) for ref in refs] == records
    assert list(reader.scan(1)) == list(zip(refs, records, strict=True))
    reader.close()


@given(st.integers(0, 2**20 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**11 - 1))
def test_a_place_fits_one_integer_of_a_column(segment: int, offset: int, index: int) -> None:
    ref = pack_ref(segment, offset, index)
    assert unpack_ref(ref) == (segment, offset, index)
    assert 0 <= ref < 2**63


def test_records_of_many_frames_are_read_in_any_order(tmp_path: Path) -> None:
    """Also when only one frame may be kept in memory."""
    records = [b"%d:" % n + b"x" * (n % 700) for n in range(3 * FRAME_RECORDS)]
    refs = written(tmp_path, 7, records)
    assert len({unpack_ref(ref)[1] for ref in refs}) > 3, "there are several frames"
    places = list(zip(refs, records, strict=True))
    random.Random(1).shuffle(places)
    reader = SegmentReader(tmp_path, cache_bytes=1)
    assert all(reader.get(ref) == record for ref, record in places[:2000])
    reader.close()


def test_more_segments_than_open_files_can_be_read(tmp_path: Path) -> None:
    refs = [written(tmp_path, n, [b"%d" % n])[0] for n in range(1, 40)]
    reader = SegmentReader(tmp_path)
    assert [reader.get(ref) for ref in (*refs, *refs)] == [b"%d" % n for n in range(1, 40)] * 2
    reader.close()


def test_a_segment_is_json_lines_that_any_zstd_can_read(tmp_path: Path) -> None:
    records = [b'{"n":%d}' % n for n in range(5000)]
    written(tmp_path, 1, records)
    path = segment_path(tmp_path, 1)
    assert path.name == "00000001.jsonl.zst"
    with path.open("rb") as file:
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        assert reader.read().splitlines() == records
    if tool := shutil.which("zstdcat"):
        out = subprocess.run([tool, path], capture_output=True, check=True).stdout
        assert out.splitlines() == records


def test_a_segment_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    segment = SegmentWriter(segment_path(tmp_path, 1), 1)
    segment.append(b"x")
    with pytest.raises(RuntimeError), segment:
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_no_segment_is_written_over(tmp_path: Path) -> None:
    written(tmp_path, 1, [b"x"])
    with pytest.raises(FileExistsError):
        SegmentWriter(segment_path(tmp_path, 1), 1)


def test_a_missing_segment_is_told(tmp_path: Path) -> None:
    reader = SegmentReader(tmp_path)
    with pytest.raises(StateError, match=r"00000003\.jsonl\.zst"):
        reader.get(pack_ref(3, 0, 0))


@pytest.mark.parametrize("damage", ["cut", "overwritten"])
def test_a_damaged_segment_is_told(tmp_path: Path, damage: str) -> None:
    (ref,) = written(tmp_path, 1, [random.Random(1).randbytes(5000).replace(b"\n", b" ")])
    path = segment_path(tmp_path, 1)
    raw = path.read_bytes()
    path.write_bytes(raw[:100] if damage == "cut" else b"no zstd" * 100)
    reader = SegmentReader(tmp_path)
    with pytest.raises(StateError, match=r"00000001\.jsonl\.zst"):
        reader.get(ref)
    reader.close()
