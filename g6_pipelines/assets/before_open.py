"""Before the open: the broker's dump, what the expiry codes mean, and the pack that the trading side arms with."""

from datetime import date

import dagster as dg

from g6_pipelines.assets.publish import publish, table
from g6_pipelines.partitions import DAY_INDEX, selected
from g6_pipelines.places import Where
from g6_pipelines.resources import G6Resource, one_line

GROUP = "pre_open"


@dg.asset(partitions_def=DAY_INDEX, group_name=GROUP, kinds={"kite", "parquet"})
def instruments(context: dg.AssetExecutionContext, g6: G6Resource) -> None:
    """The broker's instruments of the day, as it gave them: every index of the configuration, all expiries."""
    from g6_pipelines.places import market_now
    from g6_pipelines.stages.check_dump import check_dump
    from g6_pipelines.stages.dump_cache import fetched_dump

    for day, names in selected(context).items():
        with one_line():
            place = g6.locate(day)
            # A client needs no part in simulated time; a day modelled here has no other client.
            every = tuple(g6.settings.indices)
            if place.where is Where.IN_PROCESS:
                with g6.market(place) as market:
                    found = fetched_dump(market.kite, g6.rules, g6.paths, day, every, market.clock.now_ms())
            else:
                now = market_now()
                assert now is not None, "the place was just found there"
                found = fetched_dump(g6.client(place), g6.rules, g6.paths, day, every, now.time_ms)
            dump = found.dump
            for name in names:
                options = [row for row in dump.book if row.underlying == name and row.is_option]
                compared = check_dump(dump.book, g6.rules, day, (name,))
                publish(
                    context,
                    day,
                    name,
                    {
                        "options": len(options),
                        "expiries": len(dump.book.expiries(name)),
                        "all_rows": len(dump.book),
                        "source": f"{place.label} ({place.where})",
                        "seed": place.seed,
                        "sha256": dump.sha256,
                        "doubt": found.doubt or "none",
                        "compared_with_rules": table(("check", "found"), ((one.name, one.detail) for one in compared)),
                    },
                )


@dg.asset(partitions_def=DAY_INDEX, group_name=GROUP, deps=[instruments], kinds={"json"})
def expiries(context: dg.AssetExecutionContext, g6: G6Resource) -> None:
    """Which expiry each code (this_week, next_month ...) means on the day, from the dump, never computed."""
    from g6_pipelines.stages.prepare import Origin, publish_expiries, stored_dump

    for day, names in selected(context).items():
        with one_line():
            place = g6.locate(day)
            dump = stored_dump(g6.rules, g6.paths, day, names)
            found = publish_expiries(
                dump, g6.rules, g6.paths, day, names, Origin(place.label, place.seed), keep_others=True
            )
        for name in names:
            codes = found.indices[name].codes
            publish(
                context,
                day,
                name,
                {
                    "listed": len(found.indices[name].listed),
                    "codes": table(
                        ("code", "expiry", "days"),
                        ((code, expiry, (expiry - day).days) for code, expiry in sorted(codes.items(), key=_by_expiry)),
                    ),
                },
            )


@dg.asset(partitions_def=DAY_INDEX, group_name=GROUP, deps=[instruments, expiries], kinds={"json"})
def day_pack(context: dg.AssetExecutionContext, g6: G6Resource) -> None:
    """Everything the trading side needs to know before it arms, sealed with a hash; one file for all indices."""
    from g6_pipelines.stages.prepare import Origin, publish_day_pack, stored_dump

    for day, names in selected(context).items():
        with one_line():
            place = g6.locate(day)
            dump = stored_dump(g6.rules, g6.paths, day, names)
            pack = publish_day_pack(
                dump, g6.settings, g6.rules, g6.paths, day, names, Origin(place.label, place.seed), keep_others=True
            )
        for name in names:
            own = pack.indices[name]
            picks = pack.picks.indices.get(name) if pack.picks is not None else None
            publish(
                context,
                day,
                name,
                {
                    "contracts": len(own.instruments),
                    "lot_size": own.instruments[0].lot_size,
                    "freeze_quantity": own.freeze_quantity,
                    "volatility_days": len(own.iv_history),
                    "open_interest_days": len(own.oi_history),
                    "picks": len(picks.picks) if picks is not None else 0,
                    "indices_in_the_pack": ", ".join(pack.underlyings),
                    "sha256": pack.sha256,
                    "config_sha256": pack.config_sha256,
                    "source": pack.source_label,
                    "seed": pack.seed,
                },
            )


def _by_expiry(item: tuple[str, date]) -> tuple[date, str]:
    return item[1], item[0]
