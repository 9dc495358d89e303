"""The report is one safe, self-contained page, whatever the day left behind."""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from g6_core.adapters.files import canonical_json, write_atomic
from g6_core.adapters.ledger import Ledger
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.checks import Check
from g6_core.domain.orders import Side
from g6_core.domain.records import (
    DecisionRecord,
    Direction,
    OrderRecord,
    Purpose,
    Record,
    RiskEventRecord,
    SignalRecord,
    TradeRecord,
)
from g6_core.domain.risk import Outcome, Verdict
from g6_core.schema.options import RowStatus
from g6_core.schema.picks import IndexPicks, Pick
from g6_pipelines.report import series
from g6_pipelines.report.facts import DayFacts, blocking_rules, gather
from g6_pipelines.report.page import render
from g6_pipelines.report.tiles import tiles
from g6_pipelines.stages.reconcile import Reconciliation
from g6_pipelines.stages.report import index_minutes, report
from g6_pipelines.stages.score import score
from tests.pipelines.made_day import DAY, MadeDay, make_day

SUMMARY = {"source": "modelled", "seed": 7, "cycles": 375, "coverage_pct": 87.25, "journal_sha256": "ab12"}
EVIL = '<script>alert("x")</script>'
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Collects what is needed to judge a page; unbalanced tags fail at once."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.images: list[str] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        self.attributes |= found.keys()
        if tag == "img":
            assert found["alt"]
            self.images.append(found["src"] or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text.append(data)

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture
def made(tmp_path: Path, rules: MarketRules, settings: Settings) -> MadeDay:
    return make_day(tmp_path, rules, settings)


@pytest.fixture
def ledger(made: MadeDay) -> Iterator[Ledger]:
    with Ledger.open(made.paths.ledger) as opened:
        yield opened


def decision(
    made: MadeDay, minute: int, direction: Direction, *verdicts: Verdict, trend: float = 1.0
) -> DecisionRecord:
    features = {"st_5m": trend, "close_1m": 24_500.0 + minute, "st_line_1m": 24_480.0 + minute}
    return DecisionRecord(
        f"D{minute:04}", "", "NIFTY", made.at(minute), direction, False, verdicts, "", 0, 0, "", features, "cfg"
    )


def traded(made: MadeDay) -> list[Record]:
    """A signal, a refusal, a trade that lost and one that won; the lake's prices rise with the index."""
    contract = made.option(24_500, "CE")
    refusal = Verdict("strike_oi", Outcome.FAIL, True, 10.0, 50_000.0, EVIL)
    trades = [
        TradeRecord(
            f"T{number}", "D", "NIFTY", contract.tradingsymbol, contract.token, 75, made.at(entry), 100_00,
            made.at(entry + 5), 90_00, EVIL, net + 6_000, 6_000, net, 110_00, 85_00,
        )
        for number, (entry, net) in enumerate([(345, -81_000), (360, 42_000)], 1)
    ]  # fmt: skip
    return [
        SignalRecord("S1", "NIFTY", made.at(344), Direction.BULLISH, "supertrend_adx", {"adx_1m": 21.0}, "cfg"),
        *(decision(made, minute, Direction.AVOID, trend=-1.0) for minute in range(330, 344)),
        decision(made, 344, Direction.BULLISH, refusal),
        *(decision(made, minute, Direction.BULLISH) for minute in range(345, 375)),
        *trades,
        RiskEventRecord("R1", made.at(0), "mode", "", 0.0, 0.0, "armed " + EVIL),
    ]


def a_full_day(made: MadeDay, ledger: Ledger) -> None:
    made.collect(range(330, 375), status=lambda minute, _: RowStatus.STALE if 350 <= minute < 356 else RowStatus.LIVE)
    ledger.write(traded(made))
    checks = (Check("orders_equal", True, "fine", {}), Check("charges_equal", False, "one paisa off", {}))
    write_atomic(made.paths.reconciliation(DAY, "orders"), canonical_json(Reconciliation(1, DAY, False, checks)))
    score(made.site, ledger, DAY, ("NIFTY",))


@dataclass(frozen=True)
class Full:
    """A full day, rendered once; the tests only read it."""

    made: MadeDay
    ledger: Ledger
    facts: DayFacts
    html: str


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, rules: MarketRules, settings: Settings) -> Iterator[Full]:
    made = make_day(tmp_path_factory.mktemp("full"), rules, settings)
    with Ledger.open(made.paths.ledger) as opened:
        a_full_day(made, opened)
        yield Full(made, opened, facts_of(made, opened), rendered(made, opened))


def rendered(made: MadeDay, ledger: Ledger) -> str:
    return report(made.site, ledger, DAY, SUMMARY).read_text(encoding="utf-8")


def facts_of(made: MadeDay, ledger: Ledger) -> DayFacts:
    return gather(made.site, ledger, DAY, SUMMARY, index_minutes(made.site, DAY))


def test_a_full_day_is_one_page_with_its_pictures_tables_and_figures(full: Full) -> None:
    page = Page(full.html)
    # Index, profit and loss, two trades, coverage, smile, open interest.
    assert len(page.images) == 7
    for image in page.images:
        prefix, _, data = image.partition(",")
        assert prefix == "data:image/svg+xml;base64"
        assert ElementTree.fromstring(base64.b64decode(data)).tag.endswith("svg")
    for expected in (
        "Friday, 29 August 2025",
        "modelled market: nothing here is a real price",
        "index shown as parity forward",
        "seed 7",
        "Net P&L \N{MINUS SIGN}390.00",
        "Charges 120.00",
        "1 of 2 won",
        " unverified ",
        "1 of 2 passed",
        "FAILED charges_equal one paisa off",
        "strike_oi 1 10 against 50,000; " + EVIL,
        "09:15:00 mode armed " + EVIL,
        "insufficient history",
        "For Monday, 2025-09-01",
        "journal sha256 ab12",
    ):
        assert expected in page.said, expected


def test_an_open_position_has_its_own_place_with_its_mark(full: Full) -> None:
    (first, other) = full.facts.ledger.trades
    held = replace(first, exit_ms=0, exit_reason="", open_quantity=75, mark_paise=90_00, mark_ms=full.made.at(350))
    ledger = replace(full.facts.ledger, trades=(held, other))
    said = Page(render(replace(full.facts, ledger=ledger, underlyings=()))).said
    assert said.index("Still open 75 ") < said.index("Net P&L")
    assert "marked at 90.00, no price since 15:05:00" in said
    assert "still open" in said and "still open" not in Page(full.html).said.lower()


def test_hostile_text_is_shown_as_text_wherever_it_comes_from(full: Full) -> None:
    text = """"'><img src=x onerror=alert(1)>{{ 7 * 7 }}"""
    facts, ledger = full.facts, full.facts.ledger
    (trade, *_), (signal,), (event,) = ledger.trades, ledger.signals, ledger.risk_events
    verdict = Verdict(text, Outcome.FAIL, True, 1.0, 2.0, text)
    assert facts.scores is not None and facts.picks is not None
    pick = Pick(1, text, 1, text, 24_500_00, DAY, 75, 0, 100_00, 0.5, 9_000, 11.0, 0.5, 120.0, None, (text, text))
    odd = replace(
        facts,
        underlyings=(text,),
        accounts={text: facts.accounts["NIFTY"]},
        summary={"source": text, "seed": text, "journal_sha256": text},
        ledger=replace(
            ledger,
            trades=(
                replace(trade, tradingsymbol=text, exit_reason=text),
                replace(trade, tradingsymbol=text, exit_ms=0, exit_reason="", open_quantity=75),
            ),
            signals=(replace(signal, underlying=text, strategy=text, features={text: 1.0}),),
            decisions=(
                decision(full.made, 1, Direction.BULLISH, verdict),
                decision(full.made, 2, Direction.AVOID, verdict),
            ),
            risk_events=(replace(event, kind=text, detail=text),),
        ),
        checks=(Check(text, True, text, {}),),
        scores=replace(
            facts.scores,
            scores=tuple(replace(one, underlying=text, strategy=text, reasons=(text,)) for one in facts.scores.scores),
        ),
        picks=replace(
            facts.picks,
            indices={
                "some": IndexPicks(text, "", text, full.made.at(370), 100.0, DAY, 11.0, 24_500_00, (pick,)),
                "none": IndexPicks(text, text, text, 0, 0.0, None, None, None, ()),
            },
        ),
        notes=(text,),
    )
    html = render(odd)
    page = Page(html)
    # Title 1, names 1, badge 1, seed 1, held 1, note 1, headings of pictures 2, trades 5, signals 3, rules 4, events 2,
    # checks 2, picks 7, scores 3, journal 1.
    assert page.said.count(text) >= 36
    assert "9,000" in page.said and "120.0" in page.said
    assert "<img src=x" not in html and "onerror" not in page.attributes


def test_nothing_on_the_page_can_run_or_load_anything(full: Full) -> None:
    html = full.html
    page = Page(html)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert EVIL not in html and EVIL in page.said
    assert re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?(?!data:)\w+:?//', html) == []
    drawings = [base64.b64decode(image.partition(",")[2]).decode() for image in page.images]
    assert not any("<script" in drawing for drawing in drawings)
    assert all(
        link.startswith(("#", "data:")) for drawing in drawings for link in re.findall(r'href="([^"]*)"', drawing)
    )


def test_the_same_day_gives_the_same_bytes(full: Full) -> None:
    assert rendered(full.made, full.ledger) == full.html


def test_a_day_that_left_nothing_still_gets_a_page_that_says_so(made: MadeDay, ledger: Ledger) -> None:
    page = Page(rendered(made, ledger))
    assert page.images == []
    for expected in (
        "no collected rows",
        "Trading was not run on this day",
        "was not reconciled",
        "No picks",
    ):
        assert expected in page.said, expected


def test_a_day_that_was_only_filled_in_says_nothing_about_what_did_not_happen(made: MadeDay, ledger: Ledger) -> None:
    made.collect(range(330, 375))
    page = Page(rendered(made, ledger))
    assert "Trading was not run on this day" in page.said
    for absent in ("No trade was entered", "refusals", "Signals", "Net P&L", "Charges", "Profit and loss", "0 of 0"):
        assert absent not in page.said, absent
    assert {tile.name for tile in tiles(facts_of(made, ledger))} == {"Trading", "Completeness", "Cycles", "Rows"}


def test_damaged_documents_are_named_and_the_rest_is_shown(made: MadeDay, ledger: Ledger) -> None:
    a_full_day(made, ledger)
    made.paths.reconciliation(DAY, "orders").write_text("{")
    made.paths.scores(DAY).write_text('{"scores": 3}')
    page = Page(rendered(made, ledger))
    assert "the reconciliation could not be read" in page.said
    assert "the scores could not be read" in page.said
    assert len(page.images) == 7


def test_a_day_without_trades_explains_itself(made: MadeDay, ledger: Ledger) -> None:
    made.collect(range(360, 375))
    waiting = Verdict("adx_confirmation", Outcome.FAIL, True, 12.0, 20.0)
    ledger.write([decision(made, minute, Direction.AVOID, waiting) for minute in range(360, 375)])
    page = Page(rendered(made, ledger))
    assert "No trade was entered. The refusals below say why." in page.said
    assert "adx_confirmation 15 12 against 20" in page.said
    assert "Profit and loss" not in page.said


def test_refusals_are_counted_per_minute_and_apart_from_missing_directions(made: MadeDay, ledger: Ledger) -> None:
    strike = Verdict("strike_oi", Outcome.FAIL, True, 1.0, 2.0)
    passed = Verdict("quote_age", Outcome.PASS, False, 1.0, 2.0)
    unknown = Verdict("iv_rank", Outcome.UNKNOWN, True)
    ledger.write(
        [
            decision(made, 1, Direction.BULLISH, strike, strike, passed),
            decision(made, 2, Direction.BEARISH, strike, unknown),
            decision(made, 3, Direction.AVOID, unknown),
        ]
    )
    day = ledger.day(DAY)
    assert blocking_rules(day, ("NIFTY",), with_direction=True) == [
        ("NIFTY", "strike_oi", 2, "1 against 2"),
        ("NIFTY", "iv_rank", 1, "unknown"),
    ]
    assert blocking_rules(day, ("NIFTY",), with_direction=False) == [("NIFTY", "iv_rank", 1, "unknown")]


def test_the_profit_line_ends_at_the_net_result_and_follows_the_open_trade(full: Full) -> None:
    facts, made = full.facts, full.made
    line = series.pnl_line(facts)
    at = dict(zip((round(x * 60) for x in line.x), line.y, strict=True))
    minute = round(facts.hours(facts.session.open_ms) * 60)
    assert line.y[-1] == pytest.approx(-390.00)
    assert at[minute + 344] == 0.0
    price = series.contract_prices(facts, made.option(24_500, "CE").tradingsymbol)
    known = price.filter(price["ms"] == made.at(348))["ltp"][0]
    assert at[minute + 348] == pytest.approx((known - 100.00) * 75)
    assert at[minute + 355] == pytest.approx(-810.00)


def test_an_open_trade_keeps_what_was_sold_and_follows_what_is_held(full: Full) -> None:
    facts, made = full.facts, full.made
    half = replace(facts.ledger.trades[0], quantity=75, open_quantity=25, exit_ms=0, exit_paise=130_00, exit_reason="")
    sale = OrderRecord(
        "x", "", half.trade_id, "D", Purpose.EXIT, "1", half.tradingsymbol, half.token, Side.SELL, "LIMIT",
        50, 50, 130_00, 0, 130_00, "COMPLETE", "", made.at(347), made.at(347),
    )  # fmt: skip
    line = series.pnl_line(replace(facts, ledger=replace(facts.ledger, trades=(half,), orders=(sale,))))
    at = dict(zip((round(x * 60) for x in line.x), line.y, strict=True))
    open_minute = round(facts.hours(facts.session.open_ms) * 60)
    price = series.contract_prices(facts, half.tradingsymbol)
    for minute, held, sold in ((346, 75, 0), (348, 25, 50)):
        known = price.filter(price["ms"] == made.at(minute))["ltp"][0]
        assert at[open_minute + minute] == pytest.approx((known - 100.00) * held + 30.00 * sold)


def test_lines_break_where_nothing_live_was_collected(full: Full) -> None:
    line = series.index_line(full.facts, "NIFTY")
    assert line.label == "forward"
    assert len(line.x) == 45 - 6 + 1
    assert sum(y != y for y in line.y) == 1


def test_trend_spans_follow_the_five_minute_direction(full: Full) -> None:
    facts, made = full.facts, full.made
    spans = list(series.trend_spans(facts, "NIFTY"))
    assert [direction for _, _, direction in spans] == [-1.0, 1.0]
    assert spans[0][1] == spans[1][0] == pytest.approx(facts.hours(made.at(344)))


def test_coverage_bands_have_a_column_per_minute_and_a_row_per_strike(full: Full) -> None:
    bands = series.coverage(full.facts.accounts["NIFTY"].minutes, DAY)
    assert len(bands) == 2
    assert bands[0].states.shape == (len(bands[0].strikes), 375)
    live, unverified = series.STATES["live"], len(series.STATES)
    seen = [set(bands[0].states[:, minute].ravel()) - {series.NOT_EXPECTED} for minute in range(375)]
    # Collected from minute 330 on, without a live quote from 350 to 356.
    assert seen == [{live} if minute >= 330 and not 350 <= minute < 356 else {unverified} for minute in range(375)]


def test_chain_cuts_run_from_the_first_live_moment_to_the_last(full: Full) -> None:
    cuts = series.chain_cuts(full.facts, "NIFTY")
    assert [cut.clock for cut in cuts] == ["14:45", "14:58", "15:16", "15:29"]
    assert all(cut.rows["otm_iv"].to_list() == pytest.approx([9.0] * 11) for cut in cuts)
