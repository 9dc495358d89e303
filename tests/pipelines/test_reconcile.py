"""The reconcile stage keeps all checks, data and orders, in one document and in the audit log."""

import json
from pathlib import Path

from g6_core.adapters.ledger import Ledger
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.checks import failed
from g6_pipelines.stages.reconcile import reconcile
from tests.pipelines.made_day import DAY, make_day
from tests.sim.kit import bench


def test_data_and_order_checks_are_kept_together_and_failures_are_named(
    tmp_path: Path, rules: MarketRules, settings: Settings
) -> None:
    made = make_day(tmp_path, rules, settings)
    made.collect(range(370, 375))  # a lake without its CSV files
    with Ledger.open(made.paths.ledger) as ledger:
        checks = reconcile(bench(rules).kite, ledger, made.site, DAY, ("NIFTY",))
        again = reconcile(bench(rules).kite, ledger, made.site, DAY, ("NIFTY",))
        audit = ledger.day(DAY).audit
    assert checks == again
    names = [check.name for check in checks]
    assert names.index("lake_readable") < names.index("orders_known_to_both")
    bad = [check.name for check in failed(checks)]
    assert "csv_files_present" in bad and "orders_known_to_both" not in bad
    kept = [json.loads(made.paths.reconciliation(DAY, part).read_text()) for part in ("NIFTY", "orders")]
    assert [(one["passed"], one["trade_date"]) for one in kept] == [(False, str(DAY)), (True, str(DAY))]
    assert [check["name"] for one in kept for check in one["checks"]] == names
    assert [entry.action for entry in audit] == ["checked"]
    assert audit[0].detail.endswith("failed " + ", ".join(bad))
    assert audit[0].time_ms == made.session.close_ms
