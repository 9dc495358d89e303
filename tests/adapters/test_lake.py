"""The lake: what is appended comes back, whatever byte the last write stopped at."""

from datetime import date
from pathlib import Path

import polars as pl
import pyarrow
import pyarrow.ipc
import pytest

from g6_core.adapters.lake import Lake, lake_cycles, read_lake, read_lake_since
from g6_core.domain.errors import DataError
from g6_core.schema.options import Kind

COLUMNS = {
    "timestamp": Kind.TIME_MS,
    "index": Kind.TEXT,
    "expiry": Kind.DATE,
    "oi": Kind.COUNT,
    "ltp": Kind.RUPEES,
}
Row = tuple[int, str, date | None, int | None, float | None]


def cycle(number: int) -> list[Row]:
    """Two rows of one cycle, the second with unknown cells."""
    time_ms = 1_756_439_100_000 + number * 60_000
    return [(time_ms, "NIFTY", date(2025, 9, 2), 75 * number, 101.05), (time_ms, "SENSEX", None, None, None)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "options" / "2025-08-29.arrows"


def fill(path: Path, cycles: range) -> None:
    with Lake.open(path, COLUMNS) as lake:
        for number in cycles:
            lake.append(cycle(number))


def test_rows_come_back_as_they_were_appended_over_two_openings(path) -> None:
    fill(path, range(3))
    fill(path, range(3, 5))
    assert list(lake_cycles(path)) == [cycle(number) for number in range(5)]
    frame = read_lake(path)
    assert frame.schema["timestamp"] == pl.Datetime("ms", "UTC")
    assert frame["oi"].to_list() == [value for number in range(5) for value in (75 * number, None)]


def test_single_columns_can_be_read(path) -> None:
    fill(path, range(2))
    assert read_lake(path, ["oi"]).columns == ["oi"]


def test_the_newest_batches_are_read_without_the_older_ones(path) -> None:
    fill(path, range(5))
    since = cycle(3)[0][0]
    frame = read_lake_since(path, since, ["timestamp", "oi"])
    assert frame.columns == ["timestamp", "oi"]
    assert frame["oi"].to_list() == [225, None, 300, None]
    path.write_bytes(path.read_bytes()[:-1])
    assert read_lake_since(path, since, ["timestamp", "oi"])["oi"].to_list() == [225, None]
    nothing = read_lake_since(path, cycle(9)[0][0], ["timestamp", "oi"])
    assert (nothing.height, nothing.columns) == (0, ["timestamp", "oi"])


def test_a_lake_cut_at_any_byte_heals_to_its_last_whole_batch_and_says_so(path, tmp_path) -> None:
    fill(path, range(1))
    one = path.stat().st_size
    fill(path, range(1, 2))
    whole = path.read_bytes()
    cut_path = tmp_path / "cut" / "2025-08-29.arrows"
    cut_path.parent.mkdir()
    for length in [*range(one - 40, one + 60), *range(0, len(whole), 61), len(whole) - 1]:
        cut_path.write_bytes(whole[:length])
        kept = 2 if length >= len(whole) else 1 if length >= one else 0
        with Lake.open(cut_path, COLUMNS) as lake:
            assert lake.healed.batches == kept, length
            lake.append(cycle(9))
        assert list(lake_cycles(cut_path)) == [cycle(number) for number in [*range(kept), 9]], length
    cut_path.write_bytes(whole[: one + 5])
    with Lake.open(cut_path, COLUMNS) as lake:
        assert (lake.healed.batches, lake.healed.dropped_bytes) == (1, 5)


def test_a_torn_lake_can_be_read_without_healing_it(path) -> None:
    fill(path, range(2))
    path.write_bytes(path.read_bytes()[:-3])
    assert len(read_lake(path)) == 2
    assert list(lake_cycles(path)) == [cycle(0)]


def test_other_arrow_readers_understand_the_file(path) -> None:
    fill(path, range(2))
    with pyarrow.OSFile(str(path)) as file:
        table = pyarrow.ipc.open_stream(file).read_all()
    assert table.num_rows == 4
    assert str(table.schema.field("timestamp").type) == "timestamp[ms, tz=UTC]"


def test_a_file_that_is_no_lake_is_refused_and_left_alone(path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"something else entirely")
    with pytest.raises(DataError, match="not a lake file; move it away"):
        Lake.open(path, COLUMNS)
    assert path.read_bytes() == b"something else entirely"


def test_a_lake_of_other_columns_is_refused(path, tmp_path) -> None:
    fill(path, range(1))
    with pytest.raises(DataError, match="written with another schema version"):
        Lake.open(path, COLUMNS | {"extra": Kind.TEXT})
    (path.parent / "_schema.json").unlink()
    with pytest.raises(DataError, match="a lake of another schema"):
        Lake.open(path, COLUMNS | {"extra": Kind.TEXT})


def test_a_lake_has_one_writer_at_a_time(path) -> None:
    with Lake.open(path, COLUMNS) as lake:
        with pytest.raises(DataError, match="another process is collecting into it"):
            Lake.open(path, COLUMNS)
        lake.append(cycle(0))
    fill(path, range(1, 2))
    assert len(read_lake(path)) == 4


def test_a_missing_lake_names_the_fix(tmp_path) -> None:
    with pytest.raises(DataError, match="no collected rows; run the collect stage first"):
        read_lake(tmp_path / "none.arrows")
    with pytest.raises(DataError, match="run the collect stage first"):
        list(lake_cycles(tmp_path / "none.arrows"))


def test_an_unwritable_place_is_one_clear_line(tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="make the data directory writable or choose another"):
        Lake.open(tmp_path / "file" / "lake.arrows", COLUMNS)
