"""What stops the evening, and what a comparison of yesterday is worth today."""

from dataclasses import replace
from datetime import date

import dagster as dg
import polars as pl

from g6_core.adapters.history import HistoryPoint, record_history
from g6_core.adapters.lake import read_lake
from g6_core.site import Day
from g6_pipelines.assets.evening import traded
from g6_pipelines.resources import open_ledger, pack_of
from g6_pipelines.stages.bhavcopy import closing_states, last_states
from g6_pipelines.stages.closing import read_closing
from tests.pipelines.dagster.kit import BANKNIFTY, DAY, Installation, checks_of
from tests.pipelines.dagster.test_checks import (
    NAME,
    a_holidays_data,
    check_alone,
    edit_json,
    open_trade,
    order,
    published,
)

# What we read of a bhavcopy.
BHAVCOPY = (
    "TradDt", "FinInstrmTp", "TckrSymb", "XpryDt", "StrkPric", "OptnTp", "LastPric", "SttlmPric", "OpnIntrst",
    "TtlTradgVol", "NewBrdLotQty",
)  # fmt: skip
# The comparison of lake and files, and what it stops.
COMPARED = ("data_reconciliation", "next_day_picks", "day_report")


def test_a_bhavcopy_in_its_folder_is_compared_and_a_difference_is_named(copy: Installation) -> None:
    # The check alone judges what the newest run made, and other tests leave runs in the same instance.
    assert copy.phase("evening", BANKNIFTY, only=["data_reconciliation"]).success
    lakes = [read_lake(copy.paths.lake(DAY, name)) for name in ("NIFTY", NAME)]
    closings = [read_closing(Day(copy.g6.site, DAY, name)) for name in ("NIFTY", NAME)]
    states = last_states(pl.concat(lakes), DAY) | closing_states(pl.concat(closings), DAY, replayed=True)
    rows = [
        (DAY, "IDO", *key[:2], key.strike_paise / 100, key.side, *[one.last_paise / 100] * 2, one.oi, one.volume, 1)
        for key, one in states.items()
    ]
    frame = pl.DataFrame(rows, schema=BHAVCOPY, orient="row")
    path = published(copy.paths)
    frame.write_csv(path)
    found = check_alone(copy, "data_reconciliation", "bhavcopy_equals_lake")
    assert (found.passed, found.metadata["compared"].value) == (True, 4)
    frame.with_columns(pl.col("TtlTradgVol") - 1).write_csv(path)
    found = check_alone(copy, "data_reconciliation", "bhavcopy_equals_lake")
    assert not found.passed
    assert "bhavcopy_volume" in str(found.metadata["found"].value)


def test_a_csv_that_differs_from_the_lake_stops_the_picks(copy: Installation) -> None:
    path = copy.paths.csv_options(NAME, "this_month", 0, DAY)
    path.write_text(path.read_text().replace(",live,", ",stale,", 1))
    result = copy.phase("evening", BANKNIFTY, only=COMPARED)
    assert not result.success
    assert checks_of(result)["lake_equals_csv"] is False
    made = {event.asset_key.path[0] for event in result.get_asset_materialization_events()}
    assert "data_reconciliation" in made
    assert not made & {"next_day_picks", "day_report"}


def test_a_chain_that_trading_on_would_cost_money_stops_the_picks_and_holds_the_next_day_back(
    copy: Installation, instance: dg.DagsterInstance
) -> None:
    """The session's own check is of another run: the evening judges again, and the next pack says what is wrong."""
    apart = Installation(copy.g6, instance)
    a_holidays_data(copy.paths)
    result = apart.phase("evening", BANKNIFTY, only=COMPARED)
    assert not result.success
    assert checks_of(result)["collected_chain_is_sound"] is False
    made = {event.asset_key.path[0] for event in result.get_asset_materialization_events()}
    assert not made & {"next_day_picks", "day_report"}
    assert apart.phase("pre_open", "2025-09-01|BANKNIFTY").success
    before = pack_of(copy.g6.site, date(2025, 9, 1)).day_before
    assert before is not None and before.day == DAY
    assert any(one.startswith("BANKNIFTY-chain: stamps_of_the_day: ") for one in before.problems)


def test_orders_whose_books_are_gone_are_not_called_reconciled(copy: Installation) -> None:
    copy.paths.reconciliation(DAY, "orders").unlink()
    with open_ledger(copy.g6.site) as ledger:
        ledger.write([order(), open_trade()])
    result = copy.phase("evening", BANKNIFTY, only=["order_reconciliation"])
    found = checks_of(result)
    assert (found["orders_reconcile"], found["flat_after_the_close"]) == (False, False)


def test_an_open_trade_is_told_beside_the_closed_ones_and_not_counted_as_one() -> None:
    held = replace(open_trade(), open_quantity=75, charges_paise=2_000, net_pnl_paise=-2_000)
    closed = replace(held, open_quantity=0, exit_ms=held.entry_ms + 1, charges_paise=5_000, net_pnl_paise=70_000)
    told = traded([held, closed])
    assert (told["trades"], told["open_trades"]) == (1, 1)
    assert (told["net_pnl_rupees"], told["charges_rupees"]) == (700.0, 50.0)
    assert told["trades_table"].value.count(held.tradingsymbol) == 1


def test_a_pack_that_the_day_was_traded_with_is_not_made_anew(copy: Installation, instance: dg.DagsterInstance) -> None:
    # Its runs must not be the newest of the instance that the other tests of the day share.
    apart = Installation(copy.g6, instance)
    path, journal = copy.paths.day_pack(DAY), copy.paths.journal(DAY)
    traded = path.read_bytes()
    record_history(copy.paths.history, {NAME: HistoryPoint(date(2025, 8, 28), "modelled", 12.5, None)})
    journal.parent.mkdir()
    journal.touch()
    assert apart.phase("pre_open", BANKNIFTY, only=["day_pack"]).success
    assert path.read_bytes() == traded, "the journal replays with this one only"
    journal.unlink()
    assert apart.phase("pre_open", BANKNIFTY, only=["day_pack"]).success
    assert path.read_bytes() != traded


def test_a_comparison_that_was_kept_stands_when_the_books_are_gone(copy: Installation) -> None:
    path = copy.paths.reconciliation(DAY, "orders")
    edit_json(
        path, lambda one: one.update(checks=[{"name": "orders_equal", "passed": True, "detail": "", "figures": {}}])
    )
    kept = path.read_bytes()
    with open_ledger(copy.g6.site) as ledger:
        ledger.write([order()])
    result = copy.phase("evening", BANKNIFTY, only=["order_reconciliation"])
    assert checks_of(result)["orders_reconcile"] is True
    assert path.read_bytes() == kept
