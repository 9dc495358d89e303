"""The UDiFF bhavcopy reader: the exchange's own files, zipped or not, and what is refused."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zipfile import ZipFile

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from g6_core.adapters.bhavcopy import read_bhavcopy
from g6_core.domain.end_of_day import ContractKey, Published
from g6_core.domain.errors import DataError

EXPIRY_DAY = date(2026, 1, 27)


@pytest.fixture
def original(shared_data: Path) -> Path:
    return shared_data / "nse-fo-bhavcopy" / "originals" / "2026-01-27_NIFTY.csv"


def test_a_day_of_the_exchange_has_its_contracts_in_units_and_paise(original: Path) -> None:
    published = read_bhavcopy(original, EXPIRY_DAY, ["NIFTY"])
    raw = pl.read_csv(original).filter(pl.col("FinInstrmTp") == "IDO")
    assert len(published) == raw.height
    contract = ContractKey("NIFTY", date(2026, 3, 2), 25_300_00, "PE")
    assert published[contract] == Published(363_85, 363_85, 65, 65, 65)
    assert (
        sum(one.volume for one in published.values())
        == raw.select((pl.col("TtlTradgVol") * pl.col("NewBrdLotQty")).sum()).item()
    )


def test_on_expiry_day_the_settlement_is_that_of_the_underlying_and_the_last_price_the_contracts(
    original: Path,
) -> None:
    expiring = {
        key: row for key, row in read_bhavcopy(original, EXPIRY_DAY, ["NIFTY"]).items() if key.expiry == EXPIRY_DAY
    }
    assert len({row.settlement_paise for row in expiring.values()}) == 1
    assert len({row.last_paise for row in expiring.values()}) > 50


def test_zip_csv_and_parquet_of_the_same_day_are_the_same(original: Path, shared_data: Path, tmp_path: Path) -> None:
    packed = tmp_path / "BhavCopy_NSE_FO_0_0_0_20260127_F_0000.csv.zip"
    with ZipFile(packed, "w") as archive:
        archive.write(original, "BhavCopy_NSE_FO_0_0_0_20260127_F_0000.csv")
    plain = read_bhavcopy(original, EXPIRY_DAY, ["NIFTY"])
    assert read_bhavcopy(packed, EXPIRY_DAY, ["NIFTY"]) == plain
    assert read_bhavcopy(shared_data / "nse-fo-bhavcopy" / "index_2026_01_02.parquet", EXPIRY_DAY, ["NIFTY"]) == plain


def test_only_index_options_of_the_wanted_underlyings_are_read(shared_data: Path) -> None:
    path = shared_data / "nse-fo-bhavcopy" / "index_2026_01_02.parquet"
    both = read_bhavcopy(path, date(2026, 2, 3), ["FINNIFTY", "SENSEX"])
    assert {key.underlying for key in both} == {"FINNIFTY"}
    assert {key.side for key in both} == {"CE", "PE"}
    assert {row.lot_size for row in both.values()} == {60}


def test_what_is_no_bhavcopy_of_the_day_is_one_line(original: Path, shared_data: Path, tmp_path: Path) -> None:
    rows = pl.read_csv(original, infer_schema=False)
    options = rows.filter(pl.col("FinInstrmTp") == "IDO")
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK\x03\x04 no")
    two = tmp_path / "two.zip"
    with ZipFile(two, "w") as archive:
        archive.writestr("a.csv", "x")
        archive.writestr("b.csv", "x")
    rows.drop("TtlTradgVol").write_csv(tmp_path / "less.csv")
    pl.concat([rows, options.head(1)]).write_csv(tmp_path / "twice.csv")
    rows.with_columns(pl.lit(None, pl.String).alias("LastPric")).write_csv(tmp_path / "empty.csv")
    rows.with_columns(pl.lit("much").alias("OpnIntrst")).write_csv(tmp_path / "odd.csv")
    (tmp_path / "page.html").write_text("<html>")
    for name, day, message in (
        ("none.csv", EXPIRY_DAY, "no such file; give the F&O bhavcopy of 2026-01-27"),
        ("page.html", EXPIRY_DAY, "not a bhavcopy; give the .zip or .csv of the exchange"),
        ("broken.zip", EXPIRY_DAY, "not a readable zip file"),
        ("two.zip", EXPIRY_DAY, "2 CSV files in the archive, a bhavcopy has one"),
        ("less.csv", EXPIRY_DAY, "not a UDiFF bhavcopy: missing columns TtlTradgVol"),
        ("twice.csv", EXPIRY_DAY, "comes twice on 2026-01-27"),
        ("empty.csv", EXPIRY_DAY, "rows of index options with empty cells"),
        ("odd.csv", EXPIRY_DAY, "column OpnIntrst holds something that is not a number"),
        (str(original), date(2026, 1, 28), "no rows of 2026-01-28; give the bhavcopy of that day"),
    ):
        with pytest.raises(DataError) as caught:
            read_bhavcopy(tmp_path / name, day, ["NIFTY"])
        assert message in str(caught.value), name
        assert "\n" not in str(caught.value)
    # 1 February was a session; its bhavcopy is missing from the collection.
    with pytest.raises(DataError, match="no rows of 2026-02-01"):
        read_bhavcopy(shared_data / "nse-fo-bhavcopy" / "index_2026_01_02.parquet", date(2026, 2, 1), ["NIFTY"])


def made(
    trade_date: object = "2026-01-27", expiry: object = "2026-01-27", count: object = 65, **more: object
) -> pl.DataFrame:
    """Two contracts of a day in the form of the exchange."""
    row = {"TradDt": trade_date, "FinInstrmTp": "IDO", "TckrSymb": "NIFTY", "XpryDt": expiry, "StrkPric": 25_000.0}
    row |= {"LastPric": 101.55, "SttlmPric": 101.55, "OpnIntrst": count, "TtlTradgVol": count, "NewBrdLotQty": count}
    return pl.DataFrame([row | {"OptnTp": side} | more for side in ("CE", "PE")])


def zoned(folder: Path) -> Path:
    """Days as midnight in India with the offset that only Arrow knows, one of them in a column that nobody needs."""
    midnight = datetime(2026, 1, 26, 18, 30, tzinfo=UTC)
    table = made(midnight, midnight, seen=midnight).to_arrow()
    for name in ("TradDt", "XpryDt", "seen"):
        kind = pa.timestamp("ns", "+05:30")
        table = table.set_column(table.column_names.index(name), name, table[name].cast(kind))
    pq.write_table(table, folder / "zoned.parquet")
    return folder / "zoned.parquet"


def test_days_and_figures_of_other_tools_are_the_same_contracts(tmp_path: Path) -> None:
    made().write_csv(tmp_path / "plain.csv")
    plain = read_bhavcopy(tmp_path / "plain.csv", EXPIRY_DAY, ["NIFTY"])
    assert plain[ContractKey("NIFTY", EXPIRY_DAY, 25_000_00, "CE")] == Published(101_55, 101_55, 65 * 65, 65, 65)
    moment = datetime(2026, 1, 26, 18, 30, tzinfo=UTC)
    others = [zoned(tmp_path)]
    for name, frame in {
        "utc": made(moment.isoformat(), moment.isoformat()),
        "named": made("27-Jan-2026", "27JAN2026"),
        "fractions": made("2026-01-27 00:00:00", count=65.0),
    }.items():
        others.append(tmp_path / f"{name}.csv")
        frame.write_csv(others[-1])
    made(moment + timedelta(hours=9), moment).write_parquet(tmp_path / "aware.parquet")
    for path in (*others, tmp_path / "aware.parquet"):
        assert read_bhavcopy(path, EXPIRY_DAY, ["NIFTY"]) == plain, path.name


def test_another_zones_midnight_a_locked_zip_and_odd_figures_are_one_line(tmp_path: Path) -> None:
    made(expiry="2026-01-26 18:30:00").write_csv(tmp_path / "late.csv")
    made(count=0.5).write_csv(tmp_path / "half.csv")
    made(count=-1).write_csv(tmp_path / "below.csv")
    with ZipFile(tmp_path / "locked.zip", "w") as archive:
        archive.writestr("a.csv", made().write_csv())
    # The flag of an encrypted member, in its own header and in the list at the end.
    content = bytearray((tmp_path / "locked.zip").read_bytes())
    for mark, flag in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(mark) + flag] |= 1
    (tmp_path / "locked.zip").write_bytes(content)
    for name, message in (
        ("late.csv", "'2026-01-26 18:30:00'"),
        ("half.csv", "OpnIntrst has impossible values"),
        ("below.csv", "OpnIntrst has impossible values"),
        ("locked.zip", "not a readable zip file"),
    ):
        with pytest.raises(DataError) as caught:
            read_bhavcopy(tmp_path / name, EXPIRY_DAY, ["NIFTY"])
        assert message in str(caught.value), name
        assert "\n" not in str(caught.value)
