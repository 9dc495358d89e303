"""Before the open: the broker's dump, what the expiry codes mean, and the pack that the trading side arms with."""

import dagster as dg

from g6_core.site import Day
from g6_pipelines.assets.publish import publish, table
from g6_pipelines.partitions import DAY_INDEX, selected
from g6_pipelines.places import Where, find_place
from g6_pipelines.resources import G6Resource, one_line

GROUP = "pre_open"


@dg.asset(partitions_def=DAY_INDEX, group_name=GROUP, kinds={"kite", "parquet"})
def instruments(context: dg.AssetExecutionContext, g6: G6Resource) -> None:
    """The broker's instruments of the day, as it gave them: every index of the configuration, all expiries."""
    from g6_pipelines.places import market_now, open_client, open_market
    from g6_pipelines.stages.check_dump import check_dump
    from g6_pipelines.stages.dump_cache import fetched_dump

    site = g6.site
    for day, names in selected(context).items():
        with one_line():
            place = find_place(site, day)
            # A client needs no part in simulated time; a day modelled here has no other client.
            if place.where is Where.IN_PROCESS:
                with open_market(site, place) as market:
                    found = fetched_dump(market.kite, site, day, market.clock.now_ms())
            else:
                now = market_now()
                assert now is not None, "the place was just found there"
                found = fetched_dump(open_client(place), site, day, now.time_ms)
            book = found.dump.book
            for name in names:
                compared = check_dump(book, site.rules, day, (name,))
                figures = {
                    "options": sum(row.underlying == name and row.is_option for row in book),
                    "expiries": len(book.expiries(name)),
                    "all_rows": len(book),
                    "source": f"{place.label} ({place.where})",
                    "seed": place.seed,
                    "sha256": found.dump.sha256,
                    "doubt": found.doubt or "none",
                    "compared_with_rules": table(("check", "found"), ((one.name, one.detail) for one in compared)),
                }
                publish(context, Day(site, day, name), figures)


@dg.asset(partitions_def=DAY_INDEX, group_name=GROUP, deps=[instruments], kinds={"json"})
def expiries(context: dg.AssetExecutionContext, g6: G6Resource) -> None:
    """Which expiry each code (this_week, next_month ...) means on the day, from the dump, never computed."""
    from g6_pipelines.stages.prepare import Origin, publish_expiries, stored_dump

    site = g6.site
    for day, names in selected(context).items():
        with one_line():
            place = find_place(site, day)
            dump, origin = stored_dump(site, day, names), Origin(place.label, place.seed)
            found = publish_expiries(dump, site, day, names, origin, keep_others=True)
        for name in names:
            codes = sorted(found.indices[name].codes.items(), key=lambda item: (item[1], item[0]))
            rows = ((code, expiry, (expiry - day).days) for code, expiry in codes)
            figures = {"listed": len(found.indices[name].listed), "codes": table(("code", "expiry", "days"), rows)}
            publish(context, Day(site, day, name), figures)


@dg.asset(partitions_def=DAY_INDEX, group_name=GROUP, deps=[instruments, expiries], kinds={"json"})
def day_pack(context: dg.AssetExecutionContext, g6: G6Resource) -> None:
    """Everything the trading side needs to know before it arms, sealed with a hash; one file for all indices."""
    from g6_pipelines.stages.prepare import Origin, publish_day_pack, stored_dump

    site = g6.site
    for day, names in selected(context).items():
        with one_line():
            place = find_place(site, day)
            dump, origin = stored_dump(site, day, names), Origin(place.label, place.seed)
            pack = publish_day_pack(dump, site, day, names, origin, keep_others=True)
        for name in names:
            own = pack.indices[name]
            picks = pack.picks.indices.get(name) if pack.picks is not None else None
            figures = {
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
            }
            publish(context, Day(site, day, name), figures)
