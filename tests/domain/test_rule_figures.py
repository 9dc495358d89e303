"""What a rule looked at is told in times, seconds, rupees and words."""

import re
from pathlib import Path

import pytest

import g6_core.engine
from g6_core.domain.risk import Outcome, Verdict
from g6_core.domain.rule_figures import UNITS, verdict_text

FAIL, UNKNOWN = Outcome.FAIL, Outcome.UNKNOWN
NAMED = re.compile(r'\b(?:_yes_no|_at_most|_age|_check|_layer|_strength|Verdict)\(\s*"(\w+)"')


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (Verdict("theta_cutoff", FAIL, True, 56_042_000.0, 52_200_000.0, "until 14:30"), "at 15:34:02; until 14:30"),
        (Verdict("entry_window", FAIL, True, 33_300_000.0, 35_100_000.0, "from 09:45"), "at 09:15:00; from 09:45"),
        (Verdict("cooldown", FAIL, True, 299_000, 300_000, "299 s of 300 s"), "299 s of 300 s"),
        (Verdict("quote_age", FAIL, True, 7_250.0, 5_000), "7.2 s against 5 s"),
        (Verdict("index_age", UNKNOWN, True, -3_000.0, 5_000, "the clock?"), "unknown; -3 s against 5 s; the clock?"),
        (Verdict("trend_confirmed", FAIL, True, 0.0, 1.0), "not confirmed"),
        (Verdict("supertrend_alignment", FAIL, True, 0, None, "1 m and 5 m disagree"), "1 m and 5 m disagree"),
        (Verdict("max_positions", FAIL, True, 2, 1), "would be 2, at most 1"),
        (Verdict("funds", FAIL, True, 2_925_000, 1_000_050), "Rs 29250.00 against Rs 10000.50"),
        (Verdict("strike_spread_paise", UNKNOWN, True, None, 200.0), "unknown"),
        (Verdict("portfolio_heat_pct", FAIL, True, 6.1234, 5.0), "6.12 % against 5 %"),
        (Verdict("strike_oi", FAIL, True, 10.0, 50_000.0, "NIFTY24500CE"), "10 against 50,000; NIFTY24500CE"),
        (Verdict("of_another_strategy", FAIL, True, 1.5, 2.0), "1.5 against 2"),
    ],
    ids=lambda value: value.rule if isinstance(value, Verdict) else "",
)
def test_a_verdict_in_the_words_of_people(verdict: Verdict, text: str) -> None:
    assert verdict_text(verdict) == text


def test_every_rule_of_the_engine_has_its_unit() -> None:
    folder = Path(g6_core.engine.__file__).parent
    rules = {name for file in folder.rglob("*.py") for name in NAMED.findall(file.read_text(encoding="utf-8"))}
    assert len(rules) > 20
    assert rules <= UNITS.keys()
    assert {"strike_iv", "quote_age", "adx_primary", "theta_cutoff", "forward_known"} <= rules
