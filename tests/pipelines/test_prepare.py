"""The prepare stage against the simulated broker and a real dump."""

from dataclasses import replace
from datetime import date, timedelta

import msgspec
import polars as pl
import pytest

from g6_core.adapters.day_pack_store import load_day_pack, load_expiries
from g6_core.adapters.history import HistoryPoint, record_history
from g6_core.adapters.instrument_store import load_book
from g6_core.domain.errors import CalendarError, ConfigError, DataError, UserError
from g6_core.schema.day_pack import DayPack, IvPoint, OiPoint
from g6_pipelines.stages.prepare import prepare
from tests.pipelines.collecting import CLOSE, DAY, OPEN, Collecting, collecting


def prepared(world: Collecting, day: date = DAY) -> DayPack:
    return prepare(world.kite, world.site, day, ["NIFTY"], source_label="scripted", seed=7)


@pytest.fixture
def world(rules, settings, tmp_path):
    return collecting(rules, settings, tmp_path)


def test_the_day_pack_holds_what_the_trading_side_needs(world) -> None:
    pack = prepared(world)
    nifty = pack.indices["NIFTY"]
    assert (nifty.index_row.tradingsymbol, nifty.freeze_quantity) == ("NIFTY 50", 1800)
    assert (nifty.session_open_ms, nifty.session_close_ms) == (OPEN, CLOSE)
    assert nifty.expiries["this_week"] == date(2025, 9, 2)
    assert [packed.expiry for packed in nifty.packed] == [date(2025, 9, 2), date(2025, 9, 9)]
    assert len(nifty.instruments) == 2 * 31 * 2
    assert {row.lot_size for row in nifty.instruments} == {75}
    assert pack.book().index("NIFTY") == nifty.index_row
    assert (pack.source_label, pack.seed, pack.picks) == ("scripted", 7, None)


def test_the_pack_is_read_back_as_it_was_made_and_its_bytes_repeat(world) -> None:
    pack = prepared(world)
    path = world.paths.day_pack(DAY)
    first = path.read_bytes()
    assert load_day_pack(path, day=DAY, config_sha256=world.settings.config_sha256) == pack
    assert prepared(world) == pack
    assert path.read_bytes() == first


def test_expiries_are_written_with_the_hash_of_their_dump(world) -> None:
    pack = prepared(world)
    expiries = load_expiries(world.paths.expiries)
    assert (expiries.trade_date, expiries.source_label, expiries.dump_sha256) == (DAY, "scripted", pack.dump_sha256)
    assert expiries.indices["NIFTY"].codes == pack.indices["NIFTY"].expiries
    assert expiries.indices["NIFTY"].listed == world.book.expiries("NIFTY")


def test_the_dump_is_kept_as_kite_gave_it(world) -> None:
    prepared(world)
    dump = pl.read_parquet(world.paths.instruments(DAY))
    assert len(dump) == len(world.book)
    assert set(dump.columns) >= {"instrument_token", "tradingsymbol", "expiry", "strike", "tick_size", "lot_size"}
    assert dump.filter(pl.col("segment") == "INDICES")["expiry"].to_list() == [None]


def test_the_stored_dump_is_the_book_of_the_day(world) -> None:
    prepared(world)
    path = world.paths.instruments(DAY)
    assert set(load_book(path, world.rules, ["NIFTY"])) == set(world.book)
    assert len(load_book(path, world.rules, ["BANKNIFTY"])) == 0
    with pytest.raises(DataError, match="no instruments dump; run the prepare stage first"):
        load_book(world.paths.instruments(DAY + timedelta(days=1)), world.rules, ["NIFTY"])
    path.write_bytes(b"PAR1")
    with pytest.raises(DataError, match="not an instruments dump"):
        load_book(path, world.rules, ["NIFTY"])
    pl.DataFrame({"other": [1]}).write_parquet(path)
    with pytest.raises(DataError, match="not an instruments dump"):
        load_book(path, world.rules, ["NIFTY"])


def test_an_index_that_is_unknown_or_not_configured_is_refused(world) -> None:
    rest = {name: index for name, index in world.settings.indices.items() if name != "NIFTY"}
    without = replace(world.settings, file=world.settings.file.model_copy(update={"indices": rest}))
    with pytest.raises(ConfigError, match=r"indices.NIFTY: missing; add it"):
        prepared(replace(world, settings=without))
    with pytest.raises(UserError, match="unknown index 'NIFTEE'; did you mean NIFTY"):
        prepare(world.kite, world.site, DAY, ["NIFTEE"], source_label="scripted", seed=7)


def test_history_of_earlier_days_goes_into_the_pack_and_of_later_days_does_not(world) -> None:
    yesterday = DAY - timedelta(days=1)
    for day, iv, oi in ((yesterday, 8.4, 900), (DAY, 8.6, 910), (DAY + timedelta(days=3), 9.0, 920)):
        record_history(world.paths.history, {"NIFTY": HistoryPoint(day, "scripted", iv, oi)})
    packed = prepared(world).indices["NIFTY"]
    assert packed.iv_history == (IvPoint(yesterday, 8.4),)
    assert packed.oi_history == (OiPoint(yesterday, 900),)


def test_history_of_another_kind_of_market_stays_out_of_the_pack(world) -> None:
    for source in ("modelled", "recorded", "kite"):
        record_history(world.paths.history, {"NIFTY": HistoryPoint(DAY - timedelta(days=1), source, 8.4, 900)})
    packed = prepared(world).indices["NIFTY"]
    assert (packed.iv_history, packed.oi_history) == ((), ())


def test_a_holiday_is_refused(world) -> None:
    with pytest.raises(CalendarError, match="2025-08-27 is a holiday"):
        prepared(world, date(2025, 8, 27))


def test_picks_of_another_day_are_refused(world) -> None:
    path = world.paths.picks(DAY)
    path.parent.mkdir(parents=True)
    stale = {"version": 1, "trade_date": "2025-08-28", "made_on": "2025-08-26", "config_sha256": "", "indices": {}}
    path.write_bytes(msgspec.json.encode(stale))
    with pytest.raises(DataError, match=r"picks are for 2025-08-28, not for 2025-08-29"):
        prepared(world)
