"""The score stage judges what the ledger holds and picks only from a chain that deserves it."""

import json
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from g6_core.adapters.day_pack_store import load_day_pack
from g6_core.adapters.ledger import Ledger
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.domain.records import DecisionRecord, Direction, SignalRecord
from g6_core.research.inputs import day_inputs
from g6_core.schema.options import RowStatus
from g6_core.schema.picks import IndexPicks, Picks
from g6_pipelines.report.facts import gather
from g6_pipelines.stages import picks as picks_stage
from g6_pipelines.stages.score import ScoreReport, score
from g6_pipelines.stages.summary import reasons_for_no_picks, summarise
from tests.pipelines.made_day import DAY, EXPIRY, NEXT_DAY, OI, MadeDay, make_day


@pytest.fixture
def made(tmp_path: Path, rules: MarketRules, settings: Settings) -> MadeDay:
    return make_day(tmp_path, rules, settings)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite") as opened:
        yield opened


def run(made: MadeDay, ledger: Ledger) -> ScoreReport:
    return score(made.site, ledger, made.day, (made.underlying,))


def picks_of(made: MadeDay, ledger: Ledger) -> IndexPicks:
    return run(made, ledger).picks[made.underlying]


def decide(made: MadeDay, ledger: Ledger, trend: float) -> None:
    ledger.write(
        [
            SignalRecord("S1", "NIFTY", made.at(60), Direction.BULLISH, "supertrend_adx", {}, "cfg"),
            DecisionRecord(
                "D1", "S1", "NIFTY", made.at(374), Direction.AVOID, False, (), "", 0, 0, "", {"st_5m": trend}, "cfg"
            ),
        ]
    )


@pytest.mark.parametrize(("trend", "said", "first"), [(1.0, "bullish", "CE"), (-1.0, "bearish", "PE")])
def test_picks_are_near_the_money_on_both_sides_with_the_closing_trend_first(
    made: MadeDay, ledger: Ledger, trend: float, said: str, first: str
) -> None:
    made.collect(range(345, 375))
    decide(made, ledger, trend)
    found = picks_of(made, ledger)
    assert (found.reason, found.trend, found.expiry, found.as_of_ms) == ("", said, EXPIRY, made.at(374))
    assert found.coverage_pct == 100.0
    assert {pick.side for pick in found.picks} == {"CE", "PE"}
    aligned = [pick for pick in found.picks if pick.with_trend]
    assert found.picks[: len(aligned)] == tuple(aligned)
    assert {pick.side for pick in aligned} == {first}
    for side in ("CE", "PE"):
        scores = [pick.score for pick in found.picks if pick.side == side]
        assert scores == sorted(scores, reverse=True)
        assert all(0 < each <= 210 for each in scores)
        assert len(scores) <= made.settings.engine_params().strikes.keep_top
    best = found.picks[0]
    assert best.steps_otm == 0 and best.strike_paise == 24_550_00  # the strike nearest to 24,549.75
    assert best.reasons[:2] == (f"with the closing {said} trend on 5 minutes", "at the money")
    assert any(reason.startswith("spread 0.20 (") for reason in best.reasons)


def test_without_a_known_trend_no_side_is_preferred(made: MadeDay, ledger: Ledger) -> None:
    made.collect(range(365, 375))
    found = picks_of(made, ledger)
    assert found.trend == "unknown"
    assert all(pick.with_trend is None for pick in found.picks)
    assert [pick.score for pick in found.picks] == sorted((pick.score for pick in found.picks), reverse=True)


def test_the_expiring_contract_is_not_picked_for_the_day_after(
    tmp_path: Path, rules: MarketRules, settings: Settings, ledger: Ledger
) -> None:
    made = make_day(tmp_path, rules, settings, day=EXPIRY)
    made.collect(range(345, 375))
    found = picks_of(made, ledger)
    assert found.expiry == date(2025, 9, 9)
    assert {pick.expiry for pick in found.picks} == {found.expiry}


@pytest.mark.parametrize(
    ("minutes", "options", "said"),
    [
        (range(330, 340), {}, "the last live chain is of 14:54:00, too long before the close"),
        (range(325, 375), {"status": lambda minute, _: live_from(365, minute)}, "only 20.0 % of the day was collected"),
        (range(365, 375), {"status": lambda *_: RowStatus.MISSING}, "nothing live was collected of the expiry"),
        (range(360, 375), {"oi": 75}, "no strike near the money passed the filters (strike_oi 8 times)"),
        (range(360, 375), {"spread": 20.0}, "no strike near the money passed the filters (strike_spread_paise"),
        (range(360, 375), {"vol_pct": 3.0}, "passed the filters (strike_delta "),
    ],
)
def test_no_picks_come_with_the_reason(
    made: MadeDay, ledger: Ledger, minutes: range, options: dict[str, object], said: str
) -> None:
    made.collect(minutes, **options)  # type: ignore[arg-type]
    found = picks_of(made, ledger)
    assert found.picks == ()
    assert said in found.reason
    every = Picks(1, NEXT_DAY, DAY, "cfg", {"NIFTY": found})
    assert said in reasons_for_no_picks(every), "the summary says so, too"


def live_from(first: int, minute: int) -> RowStatus:
    return RowStatus.LIVE if minute >= first else RowStatus.STALE


def test_the_documents_are_written_and_a_second_run_changes_no_byte(made: MadeDay, ledger: Ledger) -> None:
    made.collect(range(360, 375))
    decide(made, ledger, 1.0)
    written = (made.paths.scores(DAY), made.paths.picks(NEXT_DAY), made.paths.history)
    report = run(made, ledger)
    before = [path.read_bytes() for path in written]
    assert run(made, ledger) == report
    assert [path.read_bytes() for path in written] == before
    scores, picks, history = (json.loads(content) for content in before)
    assert [one["status"] for one in scores["scores"]] == ["insufficient_history"]
    assert scores["scores"][0]["signals"] == 1
    assert picks["trade_date"] == str(NEXT_DAY) and picks["made_on"] == str(DAY)
    assert len(picks["indices"]["NIFTY"]["picks"]) == report.pick_count > 0
    point = {"day": str(DAY), "source": "scripted", "atm_iv_pct": pytest.approx(9.0), "oi": 6 * OI}
    assert history == {"version": 1, "indices": {"NIFTY": [point]}}
    assert [entry.action for entry in ledger.day(DAY).audit] == ["published"]


def test_the_volatility_of_a_stale_close_is_not_written_down(made: MadeDay, ledger: Ledger) -> None:
    made.collect(range(290, 300))
    run(made, ledger)
    assert not made.paths.history.exists()


def test_where_the_known_calendar_ends_the_next_day_is_provisional_and_picked_for(
    tmp_path: Path, rules_to_2026: MarketRules, settings: Settings, ledger: Ledger
) -> None:
    rules = rules_to_2026
    last, following = date(2026, 12, 31), date(2027, 1, 1)
    made = make_day(tmp_path, rules, settings, day=last)
    made.collect(range(360, 390))
    report = run(made, ledger)
    assert report.next_day == following
    assert made.paths.picks(following).exists()
    (entry,) = ledger.day(last).audit
    assert "for 2027-01-01 (provisional)" in entry.detail
    told = {"source_label": "made", "seed": 0}
    assert "provisional" not in summarise(made.site, ledger, last, ("NIFTY",), **told)
    summary = summarise(made.site, ledger, following, ("NIFTY",), **told)
    assert "2027-01-01 is provisional" in summary["provisional"]
    assert summary["provisional"] in gather(made.site, ledger, following, summary).notes


def test_an_old_day_made_again_does_not_take_the_place_of_the_newest_summary(made: MadeDay, ledger: Ledger) -> None:
    def summarised() -> dict:
        return summarise(made.site, ledger, made.day, ("NIFTY",), source_label="made", seed=0)

    newer = f'{{"date":"{NEXT_DAY}"}}'
    made.paths.summary.write_text(newer)
    assert summarised()["date"] == str(made.day)
    assert made.paths.summary.read_text() == newer
    for older_or_damaged in ('{"date":"2025-08-28"}', '{"date":5}', "[]", "{"):
        made.paths.summary.write_text(older_or_damaged)
        assert json.loads(made.paths.summary.read_text() if summarised() else "") == summarised()


def test_the_engine_can_be_told_of_an_expiry_beyond_the_known_calendar(
    tmp_path: Path, rules: MarketRules, settings: Settings
) -> None:
    day = date(2026, 12, 30)
    made = make_day(tmp_path, rules, settings, day=day)
    pack = load_day_pack(made.paths.day_pack(day), day=day, config_sha256=settings.config_sha256)
    told = day_inputs(pack, rules, settings.engine_params()).underlyings[0]
    assert told.expiry > rules.days.last
    assert told.expiry_close_ms == rules.expiry_close_ms(day, "NFO", told.expiry)


def test_prices_are_read_of_the_last_minutes_only(
    made: MadeDay, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.collect(range(345))
    made.collect(range(345, 375))
    frames: list[pl.DataFrame] = []
    for name in ("read_lake", "read_lake_since"):
        monkeypatch.setattr(picks_stage, name, kept_by(frames, getattr(picks_stage, name)))
    assert picks_of(made, ledger).picks
    whole = max(frame.height for frame in frames)
    priced = [frame.height for frame in frames if "call_bid" in frame.columns]
    assert priced and sum(priced) * 375 == whole * 30


def kept_by(frames: list[pl.DataFrame], read: Callable[..., pl.DataFrame]) -> Callable[..., pl.DataFrame]:
    def reading(*args: object) -> pl.DataFrame:
        frames.append(read(*args))
        return frames[-1]

    return reading


def test_a_day_without_a_lake_is_a_data_error(made: MadeDay, ledger: Ledger) -> None:
    with pytest.raises(DataError, match="run the collect stage first"):
        run(made, ledger)
