"""The status for people: rupees and IST, no bare ids, and the reason why nothing happens first."""

import re
from dataclasses import asdict

import pytest

from g6_stream.outlook import Outlook
from g6_stream.status import TradeStatus
from g6_stream.status_text import status_lines
from tests.stream.test_control import CLOSED, HELD, NOW_MS, ORDER, status_with

WARMING = Outlook("NIFTY", "NIFTY 50", 24_512_35, "avoid", NOW_MS, "no signal yet: 5-minute ADX warms until 11:35")
DONE = TradeStatus(
    CLOSED.trade_id, CLOSED.tradingsymbol, 75, CLOSED.entry_paise, CLOSED.exit_paise, NOW_MS, "trailing_stop_3pct",
    CLOSED.net_pnl_paise,
)  # fmt: skip


def text(**changed: object) -> str:
    return "\n".join(status_lines(asdict(status_with(**changed))))


def test_a_morning_without_a_signal_says_why() -> None:
    said = text(outlooks=(WARMING,), no_signal={"adx_confirmation": 12}, refusals={})
    assert "2025-08-29 09:15:00 IST" in said
    assert "NIFTY 50 24512.35: no signal yet: 5-minute ADX warms until 11:35" in said
    assert "Without a signal, times by rule: adx confirmation 12" in said
    assert "ready to enter" in said


def test_positions_orders_and_trades_are_in_rupees_and_without_ids() -> None:
    said = text(positions=(HELD,), orders=(ORDER,), trades=(DONE,), day_pnl_paise=-1_205, cash_paise=300_000_00)
    for words in (
        "Holds 75 NIFTY2590224500CE at 100.00, now 104.00 (Rs 300.00), stop 70.00, resting exit order",
        "Order SELL 75 NIFTY2590224500CE: trigger pending",
        "112.45 to 119.70 (trailing stop 3pct), net Rs 1311.85",
        "Day's result Rs -12.05 after charges, free cash Rs 300000.00",
        "Signals not entered, times by rule: cooldown 2",
    ):
        assert words in said, said
    assert not re.search(r"T001|250829000000002|G6X1|[0-9a-f]{12}|Z\b", said)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"feed_problem": "no tick of NIFTY 50 for 7 s", "feed_connected": False}, "Feed brings no data: no tick of"),
        ({"feed_connected": False}, "Feed not connected"),
        ({}, "Feed connected, 15 instruments subscribed"),
    ],
)
def test_the_feed_says_what_it_does_not_bring(changed: dict[str, object], words: str) -> None:
    assert words in text(reasons=("the feed is not connected",), **changed)
    assert "enters nothing now: the feed is not connected" in text(reasons=("the feed is not connected",), **changed)
