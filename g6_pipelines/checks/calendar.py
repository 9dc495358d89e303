"""At any time: are the trading days of the next weeks known, or will they soon be assumed?"""

from datetime import date

import dagster as dg

from g6_core.adapters.clock import RealClock
from g6_core.domain.calendar import MarketRules
from g6_core.domain.checks import Check
from g6_core.domain.ist import ist_date
from g6_pipelines.assets.session import option_chain
from g6_pipelines.checks.judge import answer
from g6_pipelines.resources import G6Resource


@dg.asset_check(asset=option_chain)
def calendar_is_known(g6: G6Resource) -> dg.AssetCheckResult:
    """Warns 45 days before the known holidays end, and while days are provisional.

    By the machine's date, whatever day a run is about: a person has to fetch the next list.
    """
    today = ist_date(RealClock().now_ms())
    return answer([(str(today), calendar_check(g6.site.rules, today))], dg.AssetCheckSeverity.WARN)


def calendar_check(rules: MarketRules, today: date) -> Check:
    """Return whether the calendar reaches far enough beyond `today`."""
    ends = rules.ends_soon(today)
    said = f"{ends}; take it in with `g6 market refresh FILE`" if ends else f"known until {rules.days.last}"
    return Check("known_calendar", not ends, said, {"days_left": (rules.days.last - today).days})
