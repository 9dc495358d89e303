"""The simulated broker's books as plain values: whenever another object goes on with them, nothing is different."""

import msgspec

from g6_core.adapters.files import canonical_json
from g6_core.adapters.kite.transport import connect
from g6_core.domain.calendar import MarketRules
from g6_core.sim.books import Books
from g6_core.sim.exchange import Exchange
from tests.sim.broker_story import STATUSES, TERMS, books_of, lived, story_bench
from tests.sim.kit import Bench, bench


def replacing(rules: MarketRules, desk: Bench) -> None:
    """Another exchange goes on with the books of this one, as they look after a file."""
    desk.exchange.advance(desk.clock.now_ms())
    kept = canonical_json(desk.exchange.books())
    again = Exchange(desk.source, rules, desk.clock, **TERMS)
    again.restore(msgspec.json.decode(kept, type=Books))
    assert again.books() == desk.exchange.books()
    assert canonical_json(again.books()) == kept
    desk.exchange, desk.kite = again, connect(again)


def test_a_broker_that_is_replaced_at_every_moment_ends_with_the_same_books(rules: MarketRules) -> None:
    one, many = story_bench(rules), story_bench(rules)
    seen = set.union(*lived(one, lambda _: None))
    assert set.union(*lived(many, lambda desk: replacing(rules, desk))) == seen == STATUSES
    books = books_of(one)
    assert books == books_of(many)
    assert len(books[2]) >= 3, "something was traded"
    assert any(row["filled_quantity"] and row["status"] == "CANCELLED" for row in books[0]), "an entry in part"
    assert "MODIFY PENDING" in [row["status"] for row in books[1][1]] and books[0][1]["status"] == "COMPLETE"


def test_updates_that_nobody_took_are_lost_and_no_number_comes_twice(rules: MarketRules) -> None:
    desk = bench(rules)
    first = desk.bought()
    again = Exchange(desk.source, rules, desk.clock, **TERMS)
    again.restore(desk.exchange.books())
    assert again.take_order_updates() == []
    desk.exchange, desk.kite = again, connect(again)
    second = desk.bought()
    assert (first, second) == ("250829000000001", "250829000000002")
    assert len({row["trade_id"] for row in again.trades()}) == 2
    assert len({row["exchange_order_id"] for row in again.orders()}) == 2
