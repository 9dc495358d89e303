"""The CSV sink: headers, torn lines, idempotence, one lock."""

import json
from datetime import date

import msgspec
import pytest
from filelock import FileLock

from g6_core.adapters import csv_sink
from g6_core.adapters.csv_sink import CsvSink, clear_day, option_line
from g6_core.adapters.lake import Lake
from g6_core.domain.errors import DataError
from g6_core.domain.iv_reason import IvReason
from g6_core.schema.options import OPTION_COLUMNS, OVERVIEW_COLUMNS, OptionRow, RowStatus, SideCells
from g6_core.schema.paths import DataPaths
from g6_core.sim.clock import VirtualClock
from g6_pipelines.collection.overview import overviews_of
from g6_pipelines.sinks.csv_copy import CsvCopy, lake_day

DAY = date(2025, 8, 29)
OPEN_MS = 1_756_439_100_000
CALL = SideCells(
    RowStatus.LIVE, "NIFTY2590224500CE", 115.4, 115.3, 115.6, 225, 450, 20_016_975, 5_143_500, 122.1,
    10.29638, 0.521033, 0.001459, -12.785612, 10.563567, -0.01263,
)  # fmt: skip
ROW = OptionRow(
    time_ms=OPEN_MS,
    exchange_ms=OPEN_MS - 1_500,
    index="NIFTY",
    expiry_code="this_week",
    expiry=date(2025, 9, 2),
    offset=0,
    atm_strike=24_500.0,
    strike=24_500.0,
    dte=4,
    minutes_to_expiry=6_135.0,
    spot=24_512.35,
    spot_kind="index",
    forward=24_513.0,
    call=CALL,
    put=SideCells(RowStatus.NO_CONTRACT, iv_reason=IvReason.NO_QUOTE),
)


def at_minute(minute: int) -> OptionRow:
    return msgspec.structs.replace(ROW, time_ms=OPEN_MS + 60_000 * minute)


@pytest.fixture
def paths(tmp_path) -> DataPaths:
    return DataPaths(tmp_path)


def write(paths: DataPaths, *minutes: int) -> CsvSink:
    sink = CsvSink(paths, DAY)
    rows = [at_minute(minute) for minute in minutes]
    sink.append(rows, overviews_of(rows))
    return sink


def lines(paths: DataPaths) -> list[str]:
    return paths.csv_options("NIFTY", "this_week", 0, DAY).read_text().splitlines()


def test_a_line_is_text_that_people_and_programs_can_read() -> None:
    assert option_line(ROW) == (
        "2025-08-29T03:45:00Z,2025-08-29T03:44:58.500Z,NIFTY,this_week,2025-09-02,0,24500.00,24500.00,4,6135.000000,"
        "24512.35,index,24513.00,live,NIFTY2590224500CE,115.40,115.30,115.60,225,450,20016975,5143500,122.10,10.296380,0.521033,"
        "0.001459,-12.785612,10.563567,-0.012630,,no_contract,,,,,,,,,,,,,,,,no_quote"
    )
    assert option_line(ROW).count(",") == len(OPTION_COLUMNS) - 1


def test_a_new_file_starts_with_its_header(paths) -> None:
    write(paths, 0, 1)
    assert lines(paths) == [",".join(OPTION_COLUMNS), option_line(at_minute(0)), option_line(at_minute(1))]
    overview = paths.csv_overview("NIFTY", "this_week", DAY).read_text().splitlines()
    assert overview[0] == ",".join(OVERVIEW_COLUMNS)
    assert overview[1].startswith("2025-08-29T03:45:00Z,24512.35,index,24513.00,24500.00,10.296380,")
    assert len(overview) == 3


def test_rows_that_are_there_already_are_not_written_again(paths) -> None:
    write(paths, 0, 1)
    write(paths, 0, 1, 2)
    assert [line[:20] for line in lines(paths)[1:]] == [option_line(at_minute(minute))[:20] for minute in range(3)]


@pytest.mark.parametrize("keep", [0, 5, 700])
def test_a_torn_last_line_is_cut_off_and_counted(paths, keep: int) -> None:
    write(paths, 0, 1)
    path = paths.csv_options("NIFTY", "this_week", 0, DAY)
    path.write_bytes(path.read_bytes()[: keep or -1])
    sink = write(paths, 0, 1, 2)
    assert sink.healed_files == 1
    assert lines(paths) == [",".join(OPTION_COLUMNS), *(option_line(at_minute(minute)) for minute in range(3))]


def test_a_foreign_file_is_refused_and_left_alone(paths) -> None:
    path = paths.csv_options("NIFTY", "this_week", 0, DAY)
    path.parent.mkdir(parents=True)
    for text in ("other,columns\n1,2\n", "no line end"):
        path.write_text(text)
        with pytest.raises(DataError, match="not a file of this schema; move it away"):
            write(paths, 0)
        assert path.read_text() == text


def test_a_folder_whose_overviews_did_not_tell_their_strikes_goes_on(paths) -> None:
    CsvSink(paths, DAY)
    sidecar = paths.root / "csv" / "_schema.json"
    now = json.loads(sidecar.read_text())
    before = now | {"overview": {name: kind for name, kind in now["overview"].items() if name != "strikes"}}
    sidecar.write_text(json.dumps(before))
    CsvSink(paths, DAY)
    assert json.loads(sidecar.read_text()) == now


def test_an_overview_of_before_is_emptied_and_made_again_from_the_lake(paths, tmp_path) -> None:
    """An upgrade and a restart in the session: the options go on, no cycle is twice in them."""
    write(paths, 0, 1)
    path = paths.csv_overview("NIFTY", "this_week", DAY)
    whole = path.read_text()
    path.write_text("".join(line.rpartition(",")[0] + "\n" for line in whole.splitlines()))
    with Lake.open(tmp_path / "lake.arrows", OPTION_COLUMNS) as lake:
        for minute in (0, 1):
            lake.append([at_minute(minute).cells()])
    with Lake.open(tmp_path / "lake.arrows", OPTION_COLUMNS) as lake:
        sink = CsvSink(paths, DAY)
        found = lake_day(lake, "NIFTY", sink)
        assert (len(found.times), found.csv_cycles) == (2, 0)
        for _ in CsvCopy(sink, {"NIFTY": found}).catch_up(VirtualClock(OPEN_MS)):
            pass
    assert path.read_text() == whole
    assert len(lines(paths)) == 3


def test_a_folder_of_another_schema_version_is_refused(paths) -> None:
    write(paths, 0)
    sidecar = paths.root / "csv" / "_schema.json"
    for text in ('{"version": 0}', "broken"):
        sidecar.write_text(text)
        with pytest.raises(DataError, match="another schema version"):
            CsvSink(paths, DAY)


def test_a_second_collector_of_the_same_directory_is_refused(paths, monkeypatch) -> None:
    monkeypatch.setattr(csv_sink, "LOCK_TIMEOUT_S", 0.0)
    sink = CsvSink(paths, DAY)
    with FileLock(paths.root / "csv" / ".lock"), pytest.raises(DataError, match="held by another process"):
        sink.append([ROW], [])
    sink.append([ROW], [])
    assert len(lines(paths)) == 2


def test_clearing_a_day_leaves_other_days(paths) -> None:
    write(paths, 0)
    other = CsvSink(paths, date(2025, 9, 1))
    other.append([ROW], [])
    clear_day(paths, DAY, ["NIFTY"])
    assert [path.name for path in (paths.root / "csv").rglob("*.csv")] == ["2025-09-01.csv"]
