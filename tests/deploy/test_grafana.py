"""The Grafana dashboard: every query of every panel answers on a real influxd that holds a collected day."""

import json
import re
from collections.abc import Iterator
from datetime import date
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from g6_core.adapters.influx import Influx, Series
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.ist import utc_text
from g6_core.sim.modelled import ModelledSource
from tests.pipelines.collecting import collecting, narrowed
from tests.servers import InfluxBox

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "grafana"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "collection.json").read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
DAY = date(2025, 8, 29)


def filled(query: str, start_ms: int, end_ms: int) -> str:
    """A query as Grafana sends it for one day, all indices and all expiries."""
    values = {
        "$timeFilter": f"time >= '{utc_text(start_ms)}' AND time < '{utc_text(end_ms)}'",
        "$__interval": "1m",
        "$source": "kite",
        "$index": ".*",
        "$expiry_code": ".*",
    }
    for name, value in values.items():
        query = query.replace(name, value)
    assert not re.search(r"\$\w", query), query
    return query


def figures(series: list[Series]) -> Iterator[tuple[str, int]]:
    """(column, how many values it has) of every series."""
    for one in series:
        for place, column in enumerate(one.columns[1:], start=1):
            yield column, sum(row[place] is not None for row in one.rows)


def test_every_panel_and_every_variable_answers_on_a_collected_day(
    influx: InfluxBox, rules: MarketRules, settings: Settings, tmp_path: Path
) -> None:
    indices = ("NIFTY", "BANKNIFTY")
    source = ModelledSource(indices, DAY, rules, 5)
    session = source.session
    codes = ("this_month", "next_month")
    narrow = influx.settings(narrowed(settings, codes=codes, offsets=(-3, 3)))
    world = collecting(rules, narrow, tmp_path, source, start_ms=session.open_ms - 60_000)
    cycles = world.finish().cycles
    with Influx(influx.target) as one:
        for panel in PANELS:
            for target in panel["targets"]:
                found = one.query(filled(target["query"], session.open_ms, session.close_ms))
                names = {series.tags["index"] for series in found}
                assert names == set(indices), panel["title"]
                wanted = 1 if panel["type"] == "stat" else cycles
                assert dict(figures(found)) == dict.fromkeys(dict(figures(found)), wanted), panel["title"]
        answers = {
            variable["name"]: {row[1] for series in one.query(variable["query"]) for row in series.rows}
            for variable in DASHBOARD["templating"]["list"]
        }
    assert answers == {"source": {"kite"}, "index": set(indices), "expiry_code": set(codes)}


def test_the_panels_show_what_was_asked_for_and_do_not_overlap() -> None:
    titles = {panel["title"] for panel in PANELS}
    assert titles >= {
        "Coverage",
        "At-the-money volatility",
        "Put-call ratio of the collected strikes",
        "Spot and forward",
        "Cycle time",
    }
    assert len({panel["id"] for panel in PANELS}) == len(titles) == len(PANELS)
    for one, other in combinations([panel["gridPos"] for panel in PANELS], 2):
        apart = any(one[at] + one[size] <= other[at] or other[at] + other[size] <= one[at] for at, size in ("xw", "yh"))
        assert apart, (one, other)
    assert all(place["x"] + place["w"] <= 24 for place in (panel["gridPos"] for panel in PANELS))


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_a_panel_reads_the_provisioned_source(panel: dict[str, Any]) -> None:
    provisioned = yaml.safe_load((FOLDER / "provisioning" / "datasources" / "g6.yaml").read_text(encoding="utf-8"))
    (source,) = provisioned["datasources"]
    assert source["secureJsonData"]["httpHeaderValue1"] == "Token $G6_INFLUX_TOKEN"
    wanted = {"type": source["type"], "uid": source["uid"]}
    assert [panel["datasource"], *(target["datasource"] for target in panel["targets"])] == [wanted] * (
        1 + len(panel["targets"])
    )
