"""Reading the market files: what ships is complete and sourced, what is wrong is refused in one line."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from g6_core.adapters.market_rules import load_market_rules
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import ConfigError

FILES = ("indices", "modelled", "holidays", "overrides", "sessions", "contracts", "charges", "protection")


def facts(node: object, path: str) -> list[tuple[str, dict[str, object]]]:
    """Every mapping that states a dated fact: one with a start date, a source or a certainty."""
    found = []
    if isinstance(node, dict):
        if {"from", "expiry_from", "source", "certainty"} & set(node) and "to" not in node:
            found.append((path, node))
        for key, value in node.items():
            found += facts(value, f"{path}.{key}")
    elif isinstance(node, list):
        for place, value in enumerate(node):
            found += facts(value, f"{path}[{place}]")
    return found


@pytest.mark.parametrize("name", FILES)
def test_every_shipped_fact_has_a_source_and_a_certainty(config_dir: Path, name: str) -> None:
    stated = facts(yaml.safe_load((config_dir / "market" / f"{name}.yaml").read_text(encoding="utf-8")), name)
    assert stated
    for path, fact in stated:
        assert fact.get("source"), path
        assert fact.get("certainty") in ("verified", "secondary", "unverified"), path


def test_what_is_known_by_one_source_only_says_so(config_dir: Path) -> None:
    sessions = yaml.safe_load((config_dir / "market" / "sessions.yaml").read_text(encoding="utf-8"))
    december = next(entry for entry in sessions["hours"]["NSE"] if str(entry["from"]) == "2026-12-07")
    assert december["certainty"] == "secondary"
    assert sessions["mis_cutoff"][-1]["certainty"] == "unverified"


REFUSED = [
    (
        "indices",
        "  NIFTY:\n",
        "  NIFTY:\n    colour: red\n",
        "indices.NIFTY.colour: unknown key; remove it or correct it",
    ),
    (
        "indices",
        "index_token: 256265",
        "index_token: '256265'",
        "indices.NIFTY.index_token: '256265' is not a whole number",
    ),
    (
        "indices",
        "option_exchange: NFO",
        "option_exchang: NFO",
        "indices.NIFTY.option_exchang: unknown key (did you mean option_exc",
    ),
    (
        "modelled",
        "atm_iv_pct: 10.0",
        "atm_iv_pct: 0.1",
        "levels.NIFTY.atm_iv_pct: 0.1 is impossible, it must be at least 1",
    ),
    ("modelled", "  SENSEX:", "  BANKEX:", "SENSEX: missing; add it or remove it from indices.yaml"),
    ("contracts", "  SENSEX:", "  BANKEX:", "SENSEX: missing; add it or remove it from indices.yaml"),
    (
        "contracts",
        "weekly: thu",
        "weekly: thursday",
        "underlyings.NIFTY.expiries[0].weekly: 'thursday' is not one of 'mon'",
    ),
    ("contracts", "{lot: 50,", "{lot: 0,", "underlyings.NIFTY.lots[1].lot: 0 is impossible, it must be at least 1"),
    (
        "contracts",
        "lot: 50, expiry_from: 2021-07-23",
        "lot: 50, expiry_from: 2021-07-32",
        ":16:32: '2021-07-32': day is out of range for month; correct",
    ),
    (
        "contracts",
        "expiry_from: 2025-09-01, l",
        "expiry_from: 2019-02-11, l",
        "underlyings.NIFTY.expiries: expiry_from 2019",
    ),
    ("holidays", "  2026: 2025-12-12\n", "", "published: 2026 is missing; add the day that year's list became public"),
    (
        "holidays",
        "  2019-03-04:",
        "  2018-03-05:",
        "2018-03-05 is outside covers 2019-01-01 to 2026-12-31 of holidays.yaml",
    ),
    ("holidays", "to: 2026-12-31", "to: 2018-12-31", "covers: 2019-01-01 is after 2018-12-31; swap from and to"),
    ("holidays", '"12-25"', '"25-12"', "fixed[4]: '25-12' has the wrong form; write it as in the shipped file"),
    (
        "overrides",
        'mis_cutoff: "19:05"',
        'mis_cutoff: "19:16"',
        "special_days.2019-10-27: open, mis_cutoff, close are not in",
    ),
    ("sessions", 'close: "15:30"', "close: 15:30", "hours.NSE[0].close: 930 is not a time of day; write it in quotes"),
    ("sessions", 'close: "15:30"', 'close: "09:15"', "hours.NSE[0].close: 09:15 is not after open 09:15; correct the"),
    (
        "sessions",
        'expiring_close: "15:30"',
        'expiring_close: "03:30"',
        "hours.NSE[2].expiring_close: 03:30 is not after open 09:15; correct the times",
    ),
    (
        "sessions",
        'from: 2019-01-01, at: "15:25"',
        'from: 2019-01-01, at: "03:25"',
        "mis_cutoff[0].at: 03:25 is before open 09:15 of NSE from 2019-01-01; correct the times",
    ),
    (
        "sessions",
        'at: "15:25"\n    source: nothing',
        'at: "09:14"\n    source: nothing',
        "mis_cutoff[1].at: 09:14 is before open 09:15 of NSE from 2026-08-03; correct the times",
    ),
    ("sessions", "  BSE:", "  MCX:", "hours.MCX: 'MCX' is not one of 'NSE' or 'BSE'; choose one of them"),
    (
        "charges",
        "from: 2023-04-01",
        "from: 2020-04-01",
        "charges.NFO: from 2020-04-01 does not come after 2021-01-01; order",
    ),
    (
        "charges",
        "stt_sell_pct: 0.05,",
        "stt_sell_pct: -1,",
        "charges.NFO[0].stt_sell_pct: -1 is impossible, it must be at",
    ),
    ("charges", ", certainty: verified}", "}", "charges.NFO[4].certainty: missing; add it"),
    (
        "protection",
        "below_inr: 100,",
        "below_inr: 5,",
        "market_protection[0].bands: below_inr does not ascend; order the",
    ),
    (
        "protection",
        "below_inr: null",
        "below_inr: 900",
        "market_protection[0].bands: needs exactly one open end, on the",
    ),
]


@pytest.mark.parametrize(("name", "old", "new", "message"), REFUSED, ids=[f"{row[0]} {row[3]}" for row in REFUSED])
def test_a_wrong_fact_is_refused_in_one_line_with_file_key_and_fix(
    config_dir: Path, tmp_path: Path, name: str, old: str, new: str, message: str
) -> None:
    shutil.copytree(config_dir / "market", tmp_path / "market")
    file = tmp_path / "market" / f"{name}.yaml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_market_rules(tmp_path)
    assert str(caught.value).startswith(f"{file}{message}" if message[0] == ":" else f"{file}: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(config_dir: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(config_dir / "market", tmp_path / "market")
    (tmp_path / "market" / f"{name}.yaml").unlink()
    with pytest.raises(ConfigError, match=rf"{name}\.yaml: no such file; restore it"):
        load_market_rules(tmp_path)


def test_the_hash_sees_values_and_not_comments_or_places(config_dir: Path, tmp_path: Path, rules: MarketRules) -> None:
    shutil.copytree(config_dir / "market", tmp_path / "market")
    file = tmp_path / "market" / "charges.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(f"# a remark\n{text}", encoding="utf-8")
    assert load_market_rules(tmp_path).sha256 == rules.sha256
    file.write_text(text.replace("brokerage_inr: 20", "brokerage_inr: 19", 1), encoding="utf-8")
    assert load_market_rules(tmp_path).sha256 != rules.sha256


def test_loading_the_rules_does_not_load_pandas(config_dir: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from g6_core.adapters.market_rules import load_market_rules; "
        "load_market_rules(Path(sys.argv[1])); sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(config_dir)], check=False).returncode == 0
