"""A session is not armed while the broker certainly holds less than the journal, or the day before is in question."""

from dataclasses import replace
from datetime import date
from pathlib import Path

from g6_core.adapters.acceptance import Acceptance, accept
from g6_core.adapters.confirmation import (
    TYPED,
    Confirmation,
    confirm_day,
    confirm_simulated,
    confirmed,
    unconfirmed,
)
from g6_core.adapters.day_pack_store import load_day_pack, save_day_pack, sealed
from g6_core.adapters.journal import read_journal
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.engine.holdings import SETTLE_MS, UNEXPLAINED_MS
from g6_core.schema.day_pack import DayBefore
from g6_core.schema.paths import DataPaths
from g6_stream.arming import reasons_not_to_arm
from tests.command_line import g6
from tests.engine.driving import Driving, base_of
from tests.stream.world import DAY, World


def test_a_position_converted_to_another_product_keeps_the_session_from_arming(
    tmp_path: Path, rules: MarketRules, settings: Settings
) -> None:
    world = Driving(base_of(tmp_path, rules, settings))
    world.tick(1)
    world.quiet(2 + SETTLE_MS // 1000)
    assert reasons_not_to_arm(world.state, world.broker.book(world.now_ms)) == []
    ((token, quantity, _),) = world.broker.book(world.now_ms).positions or ()
    converted = ((token, 0, "MIS"), (token, quantity, "NRML"))
    for _ in range(UNEXPLAINED_MS // 1000 + 2):
        world.tick(1)
        world.take(replace(world.broker.book(world.now_ms), positions=converted))
    (trade,) = world.state.open_trades
    assert reasons_not_to_arm(world.state, replace(world.broker.book(world.now_ms), positions=converted)) == [
        f"the broker holds less of {trade.instrument.tradingsymbol} (MIS) than the journal"
    ]


def test_what_the_evening_before_found_wrong_keeps_the_day_paused_until_a_person_has_accepted_it(
    tmp_path: Path, rules: MarketRules, settings: Settings
) -> None:
    world, yesterday = World(tmp_path, rules, settings), date(2025, 8, 28)
    path = world.paths.day_pack(DAY)
    pack = load_day_pack(path, day=DAY, config_sha256=world.params.config_sha256)
    assert pack.day_before is None
    wrong = "NIFTY-chain: parity_holds: 568 pairs are off"
    save_day_pack(path, sealed(replace(pack, day_before=DayBefore(yesterday, (wrong,)))))
    open_ms = world.source.session.open_ms
    world.advance(open_ms + 30_000)
    (alert,) = world.alerts
    assert alert.level == "critical"
    assert alert.text.startswith(f"not armed: the evening of 2025-08-28 found: {wrong} (mend it, or: ")
    assert f"g6 data accept --date 2025-08-28 --data-dir {world.paths.root} --why" in alert.text
    accept(world.paths, Acceptance(yesterday, (wrong,), "one strike", "2025-08-29T03:00:00Z"))
    world.enter()
    world.crash()
    world.ledger.close()


def provisional(rules: MarketRules) -> MarketRules:
    """The rules as if no list of that year were public."""
    published = {year: day for year, day in rules.days.published.items() if year != DAY.year}
    return replace(rules, days=replace(rules.days, published=published), _expiries={}, _monthly={})


def test_a_provisional_day_is_armed_after_one_typed_confirmation_of_that_day_and_never_silently(
    tmp_path: Path, rules: MarketRules, settings: Settings
) -> None:
    world = World(tmp_path, provisional(rules), settings)
    open_ms = world.source.session.open_ms
    confirm_day(world.paths, Confirmation(date(2025, 8, 28), TYPED, "2025-08-28T03:00:00Z"))
    world.advance(open_ms + 120_000)
    (alert,) = world.alerts
    assert alert.level == "critical"
    assert "2025-08-29 is provisional" in alert.text and "g6 stream confirm 2025-08-29" in alert.text
    confirm_day(world.paths, Confirmation(DAY, TYPED, "2025-08-29T03:00:00Z"))
    world.enter()
    assert any(b"provisional and was confirmed" in one.payload for one in read_journal(world.paths.journal(DAY)))
    world.crash()
    world.ledger.close()


def test_a_simulated_exchange_confirms_the_provisional_day_that_it_serves_and_no_known_one(
    tmp_path: Path, rules: MarketRules
) -> None:
    paths = DataPaths(tmp_path)
    for day in (DAY, date(2031, 2, 3)):
        confirm_simulated(paths, rules, day, "2025-08-29T03:45:00Z")
    assert confirmed(paths, DAY) is None
    found = confirmed(paths, date(2031, 2, 3))
    assert found is not None and "simulated" in found.by
    assert unconfirmed(paths, date(2031, 2, 3), "provisional") == ()
    (why,) = unconfirmed(paths, date(2031, 2, 3), "provisional", typed=True)
    assert f"stream confirm 2031-02-03 --data-dir {tmp_path}" in why


def test_a_damaged_confirmation_does_not_arm(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path)
    confirm_day(paths, Confirmation(DAY, TYPED, "2025-08-29T03:00:00Z"))
    assert unconfirmed(paths, DAY, "provisional") == ()
    assert unconfirmed(paths, date(2025, 9, 1), "") == ()
    paths.confirmation(DAY).write_bytes(b"{")
    (why,) = unconfirmed(paths, DAY, "provisional")
    assert "remove it and confirm the day again" in why


def test_the_confirmation_is_typed_for_a_provisional_trading_day_only(tmp_path: Path) -> None:
    def typed(day: str) -> tuple[int, str]:
        result = g6("stream", "confirm", day, "--data-dir", tmp_path)
        return result.returncode, result.stdout + result.stderr

    code, said = typed("2031-02-03")
    assert code == 0 and "2031-02-03 is confirmed" in said
    assert confirmed(DataPaths(tmp_path), date(2031, 2, 3)) is not None
    refused = {"2026-12-02": "nothing to confirm", "2031-08-15": "Independence Day", "1-2-2027": "not a date"}
    for day, words in refused.items():
        code, said = typed(day)
        assert code in (2, 4) and words in said and said.count("\n") == 1
