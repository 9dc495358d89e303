"""Every asset check fails when what it guards is damaged, and a failed blocking check stops what comes after it."""

import json
from collections.abc import Callable, Sequence
from datetime import date, time
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from g6_core.adapters.candle_archive import CandleArchive, Question
from g6_core.adapters.kite_history import Candle
from g6_core.adapters.lake import Lake, read_lake, remove_lake
from g6_core.adapters.lake_parquet import parquet_bytes, parquet_of
from g6_core.domain.checks import Check
from g6_core.domain.ist import at
from g6_core.domain.orders import Side
from g6_core.domain.records import OrderRecord, Purpose, TradeRecord
from g6_core.schema.options import OPTION_COLUMNS
from g6_core.schema.paths import DataPaths
from g6_pipelines.definitions import defs
from g6_pipelines.runs import RANGE_END_TAG, RANGE_START_TAG
from g6_pipelines.stages.reconcile import copy_part, keep_checks
from tests.pipelines.dagster.kit import BANKNIFTY, DAY, Installation, Made

NAME = "BANKNIFTY"


def check_alone(installation: Installation, asset: str, check: str) -> dg.AssetCheckEvaluation:
    """Run a check as the button in the UI does: without its asset, on the newest materialisation."""
    (evaluation,) = checked(installation, dg.AssetCheckKey(dg.AssetKey(asset), check))
    return evaluation


def checked(installation: Installation, *keys: dg.AssetCheckKey) -> Sequence[dg.AssetCheckEvaluation]:
    """Run checks without their assets."""
    result = dg.materialize(
        [*defs.assets, *defs.asset_checks],
        selection=dg.AssetSelection.checks(*keys),
        instance=installation.instance,
        resources={"g6": installation.g6},
        raise_on_error=False,
    )
    return result.get_asset_check_evaluations()


def edit_dump(paths: DataPaths, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    path = paths.instruments(DAY)
    change(pl.read_parquet(path)).write_parquet(path)


def edit_lake(paths: DataPaths, *columns: pl.Expr) -> None:
    path = paths.lake(DAY, NAME)
    frame = read_lake(path).with_columns(*columns).with_columns(pl.col(pl.Datetime).dt.timestamp("ms"))
    remove_lake(path)
    with Lake.open(path, OPTION_COLUMNS) as lake:
        lake.append(frame.rows())


def published(paths: DataPaths) -> Path:
    path = paths.bhavcopies / f"BhavCopy_NSE_FO_0_0_0_{DAY:%Y%m%d}_F_0000.csv"
    path.parent.mkdir()
    return path


def another_file_is_published(paths: DataPaths) -> None:
    published(paths).write_text("not,a,bhavcopy\n")


def compacted_differs(paths: DataPaths) -> None:
    stream = paths.lake(DAY, NAME)
    rows = read_lake(stream)
    parquet_of(stream).write_bytes(parquet_bytes(rows.reverse(), [rows.height]))


def edit_json(path: Path, change: Callable[[dict], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


AT_MS = at(DAY, time(10, 0))


def order() -> OrderRecord:
    return OrderRecord(
        "g6tag1", "", "T1", "D1", Purpose.ENTRY, "250829000001", "BANKNIFTY25SEP54000CE", 256, Side.BUY, "LIMIT",
        75, 75, 100_00, 0, 100_00, "COMPLETE", "", AT_MS, AT_MS,
    )  # fmt: skip


def open_trade() -> TradeRecord:
    return TradeRecord(
        "T1", "D1", NAME, "BANKNIFTY25SEP54000CE", 256, 75, AT_MS, 100_00, 0, 0, "", 0, 0, 0, 100_00, 100_00
    )  # fmt: skip


def wrong_lot(paths: DataPaths) -> None:
    options = pl.col("name") == NAME
    edit_dump(paths, lambda dump: dump.with_columns(lot_size=pl.when(options).then(50).otherwise("lot_size")))


def only_one_expiry(paths: DataPaths) -> None:
    edit_dump(paths, lambda dump: dump.filter(pl.col("expiry").is_null() | (pl.col("expiry") == date(2025, 9, 30))))


def most_is_missing(paths: DataPaths) -> None:
    edit_lake(
        paths, pl.when(pl.col("offset") > -3).then(pl.lit("missing")).otherwise("call_status").alias("call_status")
    )


def spot_jumps(paths: DataPaths) -> None:
    late = pl.col("timestamp").dt.hour() >= 8
    edit_lake(
        paths, *((pl.when(late).then(pl.col(one) * 1.04).otherwise(one)).alias(one) for one in ("spot", "forward"))
    )


def forward_strays(paths: DataPaths) -> None:
    edit_lake(paths, pl.col("forward") * 1.03)


def cycles_left_no_row(paths: DataPaths) -> None:
    path = paths.lake(DAY, NAME)
    rows = read_lake(path).filter(pl.col("timestamp").dt.hour() >= 8)
    rows.write_ipc_stream(path, compat_level=pl.CompatLevel.oldest())


def spot_is_lost(paths: DataPaths) -> None:
    first = pl.col("timestamp") == pl.col("timestamp").min()
    edit_lake(paths, pl.when(first).then("spot").alias("spot"))


def spot_stands_still(paths: DataPaths) -> None:
    edit_lake(paths, pl.col("spot").first())


def forward_is_lost(paths: DataPaths) -> None:
    edit_lake(paths, pl.lit(None, pl.Float64).alias("forward"))


def a_call_is_mispriced(paths: DataPaths) -> None:
    at_the_money = (pl.col("offset") == 0) & (pl.col("expiry_code") == "this_month")
    edit_lake(
        paths,
        *(
            pl.when(at_the_money).then(pl.col(f"call_{one}") + 200).otherwise(f"call_{one}").alias(f"call_{one}")
            for one in ("ltp", "bid", "ask")
        ),
    )


def overview_ends_early(paths: DataPaths) -> None:
    path = paths.csv_overview(NAME, "this_month", DAY)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def pack_is_changed(paths: DataPaths) -> None:
    edit_json(paths.day_pack(DAY), lambda pack: pack.update(seed=8))


def kept_check_fails(part: str, name: str) -> Callable[[DataPaths], None]:
    def damage(paths: DataPaths) -> None:
        checks = [{"name": name, "passed": False, "detail": "one paisa off", "figures": {}}]
        edit_json(paths.reconciliation(DAY, part), lambda document: document.update(checks=checks))

    return damage


def nothing_was_compared(paths: DataPaths) -> None:
    paths.reconciliation(DAY, "orders").unlink()


def nothing_was_judged(paths: DataPaths) -> None:
    edit_json(paths.scores(DAY), lambda document: document.update(scores=[]))


def no_reason_for_no_picks(paths: DataPaths) -> None:
    path = paths.picks(date(2025, 9, 1))
    edit_json(path, lambda document: document["indices"][NAME].update(picks=[], reason=""))


def picks_are_gone(paths: DataPaths) -> None:
    paths.picks(date(2025, 9, 1)).unlink()


def page_loads_from_elsewhere(paths: DataPaths) -> None:
    path = paths.report_of(DAY)
    path.write_text(path.read_text().replace("</main>", '<img src="https://example.org/x.png"></main>'))


def influx_lacked_a_minute(paths: DataPaths) -> None:
    keep_checks(
        paths, DAY, copy_part(NAME), (Check("influx_options_match_lake", False, "one minute is not in it", {}),)
    )


def a_column_is_gone(paths: DataPaths) -> None:
    path = paths.lake(DAY, NAME)
    read_lake(path).drop("put_vega").write_ipc_stream(path, compat_level=pl.CompatLevel.oldest())


def a_holidays_data(paths: DataPaths) -> None:
    edit_lake(paths, pl.col("exchange_time") - pl.duration(days=1))


def crossed(paths: DataPaths) -> None:
    edit_lake(paths, (pl.col("call_ask") * 1.1).alias("call_bid"))


def the_last_hour_is_gone(paths: DataPaths) -> None:
    edit_lake(paths, pl.when(pl.col("timestamp").dt.hour() < 9).then("put_status").alias("put_status"))


def prices_of_another_contract(paths: DataPaths) -> None:
    edit_lake(
        paths, pl.when(pl.col("offset") == 0).then(pl.col("call_ltp") * 1.5).otherwise("call_ltp").alias("call_ltp")
    )


def repairs_are_edited(paths: DataPaths) -> None:
    path = paths.repaired(DAY, NAME)
    frame = pl.read_parquet(path)
    rows = pl.DataFrame({"symbol": ["BANKNIFTY25SEP54000CE"]}, schema={"symbol": pl.String})
    pl.concat([frame, rows], how="diagonal").write_parquet(path)


def today_expires(paths: DataPaths) -> None:
    expires = pl.when(pl.col("expiry").is_not_null() & (pl.col("name") == NAME)).then(pl.lit(DAY)).otherwise("expiry")
    edit_dump(paths, lambda dump: dump.with_columns(expiry=expires))


def an_answer_was_cut(paths: DataPaths) -> None:
    today_expires(paths)
    rows = read_lake(paths.lake(DAY, NAME), ["call_symbol", "call_volume"]).sort("call_volume", nulls_last=True)
    symbol = rows.drop_nulls()["call_symbol"][-1]
    path = paths.expired(NAME, DAY) / "answers.arrows"
    opens_ms = at(DAY, time(9, 15))
    with CandleArchive.open(path) as archive:
        only = Candle(opens_ms, 10.0, 10.0, 10.0, 10.0, 1, 0)
        archive.add([(Question(symbol, 1, opens_ms, at(DAY, time(15, 29))), [only], "sim")], opens_ms)


DAMAGES = [
    ("instruments", "dump_agrees_with_rules", wrong_lot, "has 50, the rule says 35"),
    ("expiries", "expiry_codes_resolved", only_one_expiry, "next_month"),
    ("day_pack", "day_pack_sealed", pack_is_changed, "does not match its sha256"),
    ("option_chain", "coverage_is_enough", most_is_missing, "80 % wanted"),
    ("option_chain", "coverage_is_enough", cycles_left_no_row, "80 % wanted"),
    ("option_chain", "coverage_is_enough", spot_is_lost, "spot_coverage"),
    ("option_chain", "spot_is_sane", spot_jumps, "spot_moves"),
    ("option_chain", "spot_is_sane", spot_is_lost, "have no spot"),
    ("option_chain", "spot_is_sane", spot_stands_still, "spot_changes"),
    ("option_chain", "spot_is_sane", forward_is_lost, "have no forward"),
    ("option_chain", "chain_is_sound", a_call_is_mispriced, "parity_holds"),
    ("option_chain", "spot_is_sane", forward_strays, "spot_near_forward"),
    ("option_chain", "chain_is_sound", a_column_is_gone, "schema_is_ours"),
    ("option_chain", "chain_is_sound", a_holidays_data, "stamped with another day"),
    ("option_chain", "chain_is_ordinary", crossed, "not_crossed"),
    ("chain_repair", "every_minute_is_accounted", the_last_hour_is_gone, "unverified"),
    ("chain_repair", "repairs_are_sound", repairs_are_edited, "does not follow"),
    ("expiry_capture", "every_strike_is_captured", today_expires, "contracts missing"),
    ("expiry_capture", "captured_candles_add_up", an_answer_was_cut, "have candles of less than was traded"),
    ("index_overview", "overview_has_every_cycle", overview_ends_early, "74 of 75"),
    ("data_reconciliation", "lake_equals_csv", kept_check_fails(NAME, "csv_row_count"), "one paisa off"),
    (
        "data_reconciliation",
        "collected_chain_is_sound",
        kept_check_fails("BANKNIFTY-chain", "parity_holds"),
        "paisa off",
    ),
    ("data_reconciliation", "influx_equals_lake", influx_lacked_a_minute, "one minute is not in it"),
    ("data_reconciliation", "candles_equal_lake", prices_of_another_contract, "last price"),
    ("order_reconciliation", "orders_reconcile", kept_check_fails("orders", "charges_equal"), "one paisa off"),
    ("order_reconciliation", "orders_reconcile", nothing_was_compared, "not there"),
    ("order_reconciliation", "flat_after_the_close", kept_check_fails("orders", "positions_flat"), "one paisa off"),
    ("strategy_scores", "every_index_is_judged", nothing_was_judged, "no strategy was judged"),
    ("next_day_picks", "picks_or_a_reason", no_reason_for_no_picks, "no picks and no reason"),
    ("next_day_picks", "picks_or_a_reason", picks_are_gone, "nothing was picked"),
    ("data_reconciliation", "bhavcopy_equals_lake", another_file_is_published, "not a UDiFF bhavcopy"),
    ("compacted_lake", "compacted_equals_stream", compacted_differs, "NOT equal"),
    ("day_report", "page_is_self_contained", page_loads_from_elsewhere, "loads from elsewhere"),
]


@pytest.mark.parametrize(
    ("asset", "check", "damage", "said"), DAMAGES, ids=[one[2].__name__ + one[1] for one in DAMAGES]
)
def test_damage_fails_the_check_and_is_named(copy: Installation, asset, check, damage, said) -> None:
    damage(copy.paths)
    evaluation = check_alone(copy, asset, check)
    assert not evaluation.passed
    assert said in str(evaluation.description) + str(evaluation.metadata["found"].value)


def test_every_check_can_fail() -> None:
    # They need an archive, a market with a clock and a date: test_archive, test_fresh.
    elsewhere = {"archive_restores", "chain_is_fresh", "calendar_is_known"}
    assert {check for _, check, _, _ in DAMAGES} | elsewhere == {
        key.name for definition in defs.asset_checks or () for key in definition.check_keys
    }


def test_a_check_of_nothing_has_not_passed(installation: Installation) -> None:
    # The others judge what should be there, whatever was made.
    whatever = {"chain_is_fresh", "calendar_is_known"}
    keys = [key for one in defs.asset_checks or () for key in one.check_keys if key.name not in whatever]
    found = checked(installation, *keys)
    assert {one.asset_check_key for one in found} == set(keys)
    assert {(one.passed, one.description) for one in found} == {(False, "nothing was materialised")}


def test_a_check_run_alone_looks_at_every_day_of_a_backfill(installation: Installation) -> None:
    days = [date(2025, 8, day) for day in (28, 29)]
    made = dg.materialize(
        defs.assets,
        selection=dg.AssetSelection.assets("instruments"),
        instance=installation.instance,
        resources={"g6": installation.g6},
        tags={RANGE_START_TAG: f"{days[0]}|NIFTY", RANGE_END_TAG: f"{days[-1]}|BANKNIFTY"},
    )
    assert made.success
    found = check_alone(installation, "instruments", "dump_agrees_with_rules")
    told = str(found.metadata["found"].value)
    assert [f"{day} {name}" for day in days for name in ("NIFTY", NAME) if f"{day} {name}" not in told] == []


def test_figures_are_numbers_of_the_run_where_they_are_of_one_partition(
    made: Made, copy: Installation, instance: dg.DagsterInstance
) -> None:
    several = made.results["session"].get_asset_check_evaluations()
    (together,) = (one for one in several if one.check_name == "coverage_is_enough")
    assert "coverage_coverage_pct" not in together.metadata
    instance.report_runless_asset_event(dg.AssetMaterialization("option_chain", partition=BANKNIFTY))
    alone = check_alone(Installation(copy.g6, instance), "option_chain", "coverage_is_enough")
    assert alone.metadata["coverage_coverage_pct"].value == 100.0


def test_a_check_run_alone_looks_at_every_index_of_the_newest_run(made: Made) -> None:
    found = check_alone(made.installation, "day_pack", "day_pack_sealed")
    assert found.passed
    assert found.metadata["compared"].value == 2
