"""Compaction: the same rows in the same batches, whichever form is there and wherever a crash stopped it."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from g6_core.adapters import compaction
from g6_core.adapters.compaction import compact_lake
from g6_core.adapters.lake import Lake, lake_cycles, lake_exists, read_lake, read_lake_since, remove_lake
from g6_core.adapters.lake_parquet import GROUP_ROWS, parquet_of
from g6_core.domain.errors import DataError
from g6_core.schema.options import Kind

COLUMNS = {"timestamp": Kind.TIME_MS, "index": Kind.TEXT, "expiry": Kind.DATE, "oi": Kind.COUNT, "ltp": Kind.RUPEES}
FIRST_MS = 1_756_439_100_000


def cycle(number: int, rows: int = 2) -> list[tuple[object, ...]]:
    """A cycle whose last row has unknown cells."""
    time_ms = FIRST_MS + number * 60_000
    known = [(time_ms, "NIFTY", date(2025, 9, 2), 75 * number + row, 101.05) for row in range(rows - 1)]
    return [*known, (time_ms, "SENSEX", None, None, None)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "options" / "2025-08-29.arrows"


def fill(path: Path, cycles: range, rows: int = 2) -> None:
    with Lake.open(path, COLUMNS) as lake:
        for number in cycles:
            lake.append(cycle(number, rows))


# A day with one time twice in a row, one cycle of another size, and a step back: nothing of it is tidied up.
def odd_day(path: Path) -> None:
    with Lake.open(path, COLUMNS) as lake:
        for number, rows in ((0, 2), (1, 3), (1, 3), (4, 2), (3, 7), (5, 2)):
            lake.append(cycle(number, rows))


@pytest.mark.parametrize(
    "make", [odd_day, lambda path: fill(path, range(12), GROUP_ROWS // 10)], ids=["odd", "larger than one row group"]
)
def test_every_reader_gives_the_same_from_both_forms(path: Path, make: Callable[[Path], None]) -> None:
    make(path)
    since = [FIRST_MS + minute * 60_000 for minute in (0, 1, 3, 4, 5, 11, 99)]

    def read() -> list[object]:
        some = read_lake(path, ["oi", "timestamp"])
        return [
            list(lake_cycles(path)),
            read_lake(path).rows(),
            read_lake(path).schema,
            (some.columns, some.rows()),
            *(read_lake_since(path, start, ["timestamp", "oi"]).rows() for start in since),
        ]

    of_stream = read()
    compact_lake(path)
    assert read() == of_stream
    compact_lake(path, drop_stream=True)
    assert not path.exists()
    assert lake_exists(path)
    assert read() == of_stream


def test_the_same_rows_give_the_same_bytes(path: Path, tmp_path: Path) -> None:
    fill(path, range(20), 700)
    first = compact_lake(path).read_bytes()
    parquet_of(path).unlink()
    assert compact_lake(path).read_bytes() == first
    other = tmp_path / "other" / path.name
    fill(other, range(7), 700)
    fill(other, range(7, 20), 700)
    assert compact_lake(other).read_bytes() == first


def test_what_cannot_be_read_back_equal_keeps_the_stream(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path, range(3))

    def other_rows(rows: pl.DataFrame, sizes: list[int]) -> bytes:
        return real(rows.with_columns(oi=pl.col("oi") + 1), sizes)

    real = compaction.parquet_bytes
    monkeypatch.setattr(compaction, "parquet_bytes", other_rows)
    with pytest.raises(DataError, match="does not hold the rows"):
        compact_lake(path, drop_stream=True)
    assert len(list(lake_cycles(path))) == 3


def test_a_stream_that_grew_after_compaction_is_the_truth_and_is_compacted_anew(path: Path) -> None:
    fill(path, range(3))
    compact_lake(path)
    fill(path, range(3, 5))
    assert len(list(lake_cycles(path))) == 5
    compact_lake(path, drop_stream=True)
    assert list(lake_cycles(path)) == [cycle(number) for number in range(5)]


def test_a_stream_that_lost_rows_does_not_replace_what_was_compacted(path: Path) -> None:
    fill(path, range(3))
    compact_lake(path)
    path.unlink()
    parquet_of(path).rename(path.with_name("kept"))
    fill(path, range(2))
    path.with_name("kept").rename(parquet_of(path))
    with pytest.raises(DataError, match="holds less than"):
        compact_lake(path, drop_stream=True)
    assert path.exists()


def test_a_compacted_day_is_continued_from_a_stream_equal_to_the_old_one(path: Path) -> None:
    fill(path, range(3))
    stream = path.read_bytes()
    compact_lake(path, drop_stream=True)
    with Lake.open(path, COLUMNS) as lake:
        assert path.read_bytes() == stream
        assert lake.healed.batches == 3
        lake.append(cycle(3))
    assert list(lake_cycles(path)) == [cycle(number) for number in range(4)]


@pytest.mark.parametrize("crash", ["before the file is in place", "before the stream goes"])
def test_a_crash_leaves_a_day_that_can_be_read_and_compacted(
    path: Path, crash: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(path, range(3))

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace" if crash.endswith("place") else "unlink", die)
        with pytest.raises(KeyboardInterrupt):
            compact_lake(path, drop_stream=True)
    assert list(lake_cycles(path)) == [cycle(number) for number in range(3)]
    compact_lake(path, drop_stream=True)
    assert list(lake_cycles(path)) == [cycle(number) for number in range(3)]


def test_a_torn_tail_is_left_out_and_a_living_collector_is_left_alone(path: Path) -> None:
    fill(path, range(3))
    path.write_bytes(path.read_bytes()[:-5])
    compact_lake(path)
    assert len(list(lake_cycles(path))) == 2
    with Lake.open(path, COLUMNS), pytest.raises(DataError, match="stop the other collector"):
        compact_lake(path)


def test_nothing_and_foreign_files_are_named(path: Path) -> None:
    with pytest.raises(DataError, match="run the collect stage first"):
        compact_lake(path)
    pl.DataFrame({"timestamp": [1]}).write_parquet(parquet_of(path))
    with pytest.raises(DataError, match="not a compacted lake"):
        list(lake_cycles(path))
    parquet_of(path).write_bytes(b"PAR1 torn")
    with pytest.raises(DataError, match="restore it from the archive"):
        read_lake(path)


def test_a_damaged_compacted_file_is_made_again_from_its_stream(path: Path) -> None:
    fill(path, range(3))
    parquet_of(path).write_bytes(b"PAR1 torn")
    compact_lake(path, drop_stream=True)
    assert list(lake_cycles(path)) == [cycle(number) for number in range(3)]


def test_removing_a_lake_removes_both_forms(path: Path) -> None:
    fill(path, range(2))
    compact_lake(path)
    remove_lake(path)
    assert not lake_exists(path)
