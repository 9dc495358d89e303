"""Repair, backfill and capture as Dagster assets: one partition, a range in one run, and what the page shows."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import date, time
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from g6_core.adapters.history import HistoryPoint, record_history
from g6_core.adapters.lake import Lake, lake_schema, read_lake, remove_lake
from g6_core.domain.errors import DataError
from g6_core.domain.ist import at, ist_date
from g6_core.schema.closing import CLOSING_COLUMNS
from g6_core.schema.options import OPTION_COLUMNS
from g6_core.site import Day
from g6_pipelines.assets.ranged import ranged_asset
from g6_pipelines.assets.repair import _works
from g6_pipelines.definitions import defs
from g6_pipelines.places import Where, find_place
from g6_pipelines.resources import G6Resource
from g6_pipelines.runs import RANGE_END_TAG, RANGE_START_TAG
from tests.conftest import PROJECT
from tests.pipelines.dagster.kit import BANKNIFTY, DAY, NIFTY, Installation, Made, checks_of, failure_of, metadata_of

NAME = "BANKNIFTY"


def lose(installation: Installation, hour_utc: int) -> None:
    """The lake lacks the cycles of one hour, as if nobody had collected then."""
    path = installation.paths.lake(DAY, NAME)
    kept = read_lake(path).filter(pl.col("timestamp").dt.hour() != hour_utc)
    remove_lake(path)
    with Lake.open(path, OPTION_COLUMNS) as lake:
        lake.append(kept.with_columns(pl.col(pl.Datetime).dt.timestamp("ms")).rows())


def test_a_whole_day_shows_its_account(made: Made) -> None:
    shown = metadata_of(made.results["evening"], "chain_repair", NIFTY)
    assert (shown["complete"], shown["open"], shown["troubles"]) == ("yes", 0, "none")
    assert shown["calls"] == made.installation.g6.site.settings.collection.witnesses, "nothing else was asked"
    assert shown["expected"] == shown["live"] == 75 * 2 * 9 * 2
    assert str(shown["answer"]).startswith("NIFTY 2025-08-29: complete, 2,700 contract-minutes: 2,700 live")
    assert str(shown["account_picture"]).startswith("![account_picture](data:image/svg+xml;base64,")
    assert len(str(shown["account_picture"])) < 60_000
    capture = metadata_of(made.results["evening"], "expiry_capture", NIFTY)
    assert capture["contracts"] == 0


def test_lost_cycles_are_repaired_and_the_check_says_so(copy: Installation, instance: dg.DagsterInstance) -> None:
    apart = Installation(copy.g6, instance)
    lose(apart, 5)
    result = apart.phase("evening", BANKNIFTY, only=["chain_repair"])
    shown = metadata_of(result, "chain_repair", BANKNIFTY)
    found = checks_of(result)
    assert found["every_minute_is_accounted"] and found["repairs_are_sound"]
    assert (shown["complete"], shown["open"]) == ("yes", 0)
    assert (
        int(str(shown["repaired"])) + int(str(shown["no_trade"])) >= 12 * 36
        and 36 - 10 <= int(str(shown["calls"])) < 3 * 36
    )
    kept = apart.paths.repaired(DAY, NAME).read_bytes()
    again = apart.phase("evening", BANKNIFTY, only=["chain_repair"])
    assert metadata_of(again, "chain_repair", BANKNIFTY)["calls"] == 0
    assert apart.paths.repaired(DAY, NAME).read_bytes() == kept


def test_a_day_of_another_market_stays_open_and_the_evening_goes_on(
    copy: Installation,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    apart = Installation(copy.g6, instance)
    lose(apart, 5)
    for path in (apart.paths.repaired(DAY, NAME), apart.paths.answers(DAY, NAME)):
        path.unlink()
    monkeypatch.setenv("G6_SIM_SEED", "8")
    result = apart.phase("evening", BANKNIFTY, only=["chain_repair", "data_reconciliation"])
    found = checks_of(result)
    assert (found["every_minute_is_accounted"], found["repairs_are_sound"]) == (False, True)
    assert "lake_equals_csv" in checks_of(result), "what comes after the repair has run"
    assert "candles of modelled, seed 8 must not complete it" in str(
        metadata_of(result, "chain_repair", BANKNIFTY)["troubles"]
    )


def test_volatility_rank_and_percentile_are_shown_once_there_is_a_history(
    copy: Installation,
    instance: dg.DagsterInstance,
) -> None:
    apart = Installation(copy.g6, instance)
    for day in range(1, 13):
        point = HistoryPoint(date(2025, 8, day), "modelled", 1.0 + day, 100_000)
        record_history(apart.paths.history, {NAME: point})
        record_history(apart.paths.history, {NAME: replace(point, source="kite", atm_iv_pct=80.0)})
    assert apart.phase("pre_open", BANKNIFTY, only=["day_pack"]).success
    result = apart.phase("evening", BANKNIFTY, only=["next_day_picks"])
    shown = metadata_of(result, "next_day_picks", BANKNIFTY)
    iv = float(str(shown["atm_iv_pct"]))
    assert shown["history_days"] == 12
    assert shown["iv_rank"] == pytest.approx((iv - 2.0) / 11.0)
    assert shown["iv_percentile"] == pytest.approx(sum(1.0 + day < iv for day in range(1, 13)) / 12)


# Of both indices.
EXPIRY = date(2025, 9, 30)
EXPIRES = f"{EXPIRY}|NIFTY"


@pytest.fixture
def last_evening(installation: Installation) -> Installation:
    """Of what expires only the strikes in the middle are listed."""
    assert installation.phase("pre_open", EXPIRES, f"{EXPIRY}|{NAME}", only=["instruments"]).success
    path = installation.paths.instruments(EXPIRY)
    dump = pl.read_parquet(path)
    for name in ("NIFTY", NAME):
        expiring = (pl.col("expiry") == EXPIRY) & (pl.col("name") == name)
        strikes = dump.filter(expiring)["strike"].unique().sort()
        middle = strikes[len(strikes) // 2]
        dump = dump.filter(~expiring.fill_null(value=False) | (pl.col("strike") == middle))
    dump.write_parquet(path)
    return installation


def capture(installation: Installation, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Materialise the capture of both indices in one run."""
    return dg.materialize(
        [*defs.assets, *defs.asset_checks],
        selection=dg.AssetSelection.assets("expiry_capture"),
        tags={RANGE_START_TAG: EXPIRES, RANGE_END_TAG: f"{EXPIRY}|BANKNIFTY"},
        instance=instance,
        resources={"g6": installation.g6},
        raise_on_error=False,
    )


def test_what_expires_today_is_captured_and_the_day_is_asked_once(
    last_evening: Installation, instance: dg.DagsterInstance
) -> None:
    def captured() -> dg.ExecuteInProcessResult:
        return capture(last_evening, instance)

    result = captured()
    shown = metadata_of(result, "expiry_capture", EXPIRES)
    assert checks_of(result) == {"every_strike_is_captured": True, "captured_candles_add_up": True}, shown
    assert (shown["contracts"], shown["missing"], shown["calls"]) == (2, 0, 2)
    folder = last_evening.paths.expired("NIFTY", EXPIRY)
    assert {path.name for path in folder.iterdir()} >= {"answers.arrows", "candles.parquet", "dump.parquet"}
    assert metadata_of(captured(), "expiry_capture", EXPIRES)["calls"] == 0
    answers = read_lake(folder / "answers.arrows")
    spoiled = answers.with_columns(high=pl.when(pl.col("open").is_not_null()).then(pl.col("low") - 1).otherwise("high"))
    spoiled.write_ipc_stream(folder / "answers.arrows", compat_level=pl.CompatLevel.oldest())
    evaluations = captured().get_asset_check_evaluations()
    (found,) = (one for one in evaluations if one.check_name == "every_strike_is_captured")
    told = str(found.metadata["found"].value).splitlines()
    failing = {
        name for name in ("answers_match_hash", "candles_possible") for row in told if name in row and "NO" in row
    }
    assert failing == {"answers_match_hash", "candles_possible"}


def test_on_a_later_day_what_is_short_is_said_and_what_is_missing_fails_and_the_other_index_is_captured(
    last_evening: Installation, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert capture(last_evening, instance).success
    symbol = read_lake(last_evening.paths.expired("NIFTY", EXPIRY) / "answers.arrows")["symbol"][0]
    stamp_ms = at(EXPIRY, time(15, 31))
    seen = {"timestamp": stamp_ms, "exchange_time": stamp_ms, "symbol": symbol, "volume": 10**12}
    path = last_evening.paths.closing(EXPIRY, "NIFTY")
    path.parent.mkdir(parents=True)
    pl.DataFrame([seen], schema=lake_schema(CLOSING_COLUMNS)).write_parquet(path)
    monkeypatch.setenv("G6_BROKER", "kite")
    monkeypatch.setenv("KITE_API_KEY", "key")
    monkeypatch.setenv("KITE_ACCESS_TOKEN", "token")
    late = capture(last_evening, instance)
    shown = metadata_of(late, "expiry_capture", EXPIRES)
    assert late.success and checks_of(late) == {"every_strike_is_captured": True, "captured_candles_add_up": False}
    assert (shown["short_contracts"], shown["calls"]) == (symbol, 0) and "Kite gives" in str(shown["troubles"])
    (last_evening.paths.expired("NIFTY", EXPIRY) / "answers.arrows").unlink()
    kept = last_evening.paths.expired(NAME, EXPIRY) / "candles.parquet"
    kept.unlink()
    assert f"NIFTY {EXPIRY}: Kite gives" in failure_of(capture(last_evening, instance))
    assert kept.exists(), "the other index was made again"


@pytest.mark.slow
def test_a_range_of_days_is_backfilled_in_one_run_from_the_command_line(narrow: Path, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "DAGSTER_HOME": str(tmp_path / "home"),
        "G6_CONFIG_DIR": str(narrow),
        "G6_DATA_DIR": str(tmp_path / "data"),
    }
    for name in ("G6_BROKER", "G6_SIM_URL", "G6_SIM_SEED"):
        environment.pop(name, None)
    (tmp_path / "home").mkdir()
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "g6_pipelines.definitions"]

    def materialized(span: str) -> subprocess.CompletedProcess[str]:
        more = ["--select", "chain_repair", "--partition-range", span]
        return subprocess.run([*command, *more], env=environment, capture_output=True, text=True, check=False)

    empty = materialized(f"2025-08-28|SENSEX...{NIFTY}")
    assert empty.returncode != 0 and "the range holds no partition" in empty.stderr
    done = materialized(f"2025-08-28|NIFTY...{NIFTY}")
    assert done.returncode == 0, done.stderr[-2000:]
    with dg.DagsterInstance.from_config(str(tmp_path / "home")) as instance:
        assert len(instance.get_runs()) == 2
        records = instance.fetch_materializations(dg.AssetKey("chain_repair"), limit=10).records
        made = {str(record.partition_key) for record in records}
        checks = instance.event_log_storage.get_latest_asset_check_execution_by_key(
            [dg.AssetCheckKey(dg.AssetKey("chain_repair"), "every_minute_is_accounted")]
        )
    assert made == {"2025-08-28|NIFTY", NIFTY}
    (check,) = checks.values()
    assert check.status.value == "SUCCEEDED"
    data = G6Resource(data_dir=str(tmp_path / "data"), config_dir=str(narrow)).site.paths
    for day in (date(2025, 8, 28), DAY):
        assert data.repaired(day, "NIFTY").exists() and not data.lake(day, "NIFTY").exists()


@pytest.fixture
def real_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("G6_BROKER", "kite")
    monkeypatch.setenv("KITE_API_KEY", "key")
    monkeypatch.setenv("KITE_ACCESS_TOKEN", "token")


def test_days_at_kite_are_asked_for_together(installation: Installation, real_broker: None) -> None:
    wanted = ((28, "NIFTY"), (28, "SENSEX"), (29, "NIFTY"))
    days = [Day(installation.g6.site, date(2025, 8, day), name) for day, name in wanted]
    found = [(place.day.day, [str(day) for day in work]) for place, work in _works(days)]
    assert found == [(29, ["NIFTY 2025-08-28", "NIFTY 2025-08-29"]), (28, ["SENSEX 2025-08-28"])]


def test_kite_has_the_past_in_candles_only_and_nothing_of_the_future(
    installation: Installation, real_broker: None
) -> None:
    g6, past = installation.g6, date(2025, 8, 28)
    assert find_place(g6.site, past, past=True).where is Where.KITE
    with pytest.raises(DataError, match="materialise chain_repair for the candles of a past day"):
        find_place(g6.site, past)
    from g6_core.adapters.clock import RealClock

    today = ist_date(RealClock().now_ms())
    with pytest.raises(DataError, match="of today"):
        find_place(g6.site, g6.site.rules.known_next_trading_day(today), past=True)


def test_ranged_assets_declare_their_policy_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    def nothing() -> None:
        """Nothing."""

    assert ranged_asset("evening", deps=[], kinds=set())(nothing).backfill_policy == dg.BackfillPolicy.single_run()
    assert [str(one.message) for one in recwarn] == []
