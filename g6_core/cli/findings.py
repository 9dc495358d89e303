"""The single checks of `g6 doctor`; each answers with what it saw and, where something is wrong, with the fix."""

import importlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import g6_core
from g6_core.domain.errors import UserError
from g6_core.domain.ist import DAY_MS, at, ist_date, ist_text, to_ist

if TYPE_CHECKING:
    from g6_core.domain.calendar import MarketRules

PROJECT = Path(g6_core.__file__).resolve().parents[1]
PYTHON_MIN = (3, 11)
FREE_MB_MIN = 500
# Every kind of rule has changed within three years: what is older cannot be traded by, whatever is assumed of holidays.
STALE_DAYS = 3 * 365
# No machine has run this code earlier: 1 November 2026, 00:00 UTC.
CLOCK_EARLIEST_MS = 1_793_491_200_000
# Where the module is not called like its distribution.
MODULE_OF = {"pyyaml": "yaml"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw. `fix` names what to do about a problem; where it is `ok`, about a warning."""

    name: str
    ok: bool
    detail: str
    fix: str


def good(name: str, detail: str) -> Finding:
    """Nothing to do."""
    return Finding(name, True, detail, "")


def bad(name: str, detail: str, fix: str) -> Finding:
    """Something to do, and what."""
    return Finding(name, False, detail, fix)


def examine(config_dir: Path, data_dir: Path, *, now_ms: int) -> tuple[Finding, ...]:
    """All checks, in the order in which they should be fixed. `now_ms` is the machine's own clock."""
    return (
        python_finding(sys.version_info[:3]),
        packages_finding(needed(), pins_of(PROJECT / "requirements.txt")),
        config_finding(config_dir),
        market_finding(config_dir, now_ms),
        data_dir_finding(data_dir),
        clock_finding(now_ms),
        kernels_finding(),
    )


def python_finding(running: tuple[int, int, int]) -> Finding:
    """The interpreter is new enough."""
    text = ".".join(map(str, running))
    if running[:2] >= PYTHON_MIN:
        return good("python", text)
    return bad("python", f"{text} is too old", "make clean venv PYTHON=python3.11 (or newer)")


def pins_of(lock: Path) -> dict[str, frozenset[str]]:
    """Exact versions of a lock file by distribution (several where they depend on the Python); empty without a file."""
    if not lock.is_file():
        return {}
    pins: dict[str, frozenset[str]] = {}
    for name, pinned in re.findall(
        r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", lock.read_text(encoding="utf-8"), re.MULTILINE
    ):
        key = canonicalize_name(name)
        pins[key] = pins.get(key, frozenset()) | {pinned}
    return pins


def needed() -> list[Requirement]:
    """What the installed distribution asks for, without extras; the distribution itself where it is not installed."""
    try:
        wanted = [Requirement(text) for text in requires("g6") or ()]
    except PackageNotFoundError:
        return [Requirement("g6")]
    return [requirement for requirement in wanted if requirement.marker is None or requirement.marker.evaluate()]


def packages_finding(wanted: list[Requirement], pins: dict[str, frozenset[str]]) -> Finding:
    """Every package that G6 asks for is there, at the locked version, and can be imported."""
    problems = list(_package_problems(wanted, pins))
    if problems:
        fix = "make clean venv (or, in your own environment, pip install --require-hashes -r requirements.txt)"
        return bad("packages", "; ".join(problems), fix)
    return good("packages", f"{len(wanted)} at the {'locked' if pins else 'required'} versions")


def _package_problems(wanted: list[Requirement], pins: dict[str, frozenset[str]]) -> Iterator[str]:
    for requirement in wanted:
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            yield f"{requirement.name} is missing"
            continue
        key = canonicalize_name(requirement.name)
        if not requirement.specifier.contains(Version(installed), prereleases=True):
            yield f"{requirement.name} {installed} is not {requirement.specifier}"
        elif key in pins and installed not in pins[key]:
            yield f"{requirement.name} is {installed}, tested is {' or '.join(sorted(pins[key]))}"
        module = MODULE_OF.get(key, key.replace("-", "_"))
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001 - a half-installed package can raise anything while it is imported
            yield f"{requirement.name} is installed but cannot be imported: {error}"


def config_finding(config_dir: Path) -> Finding:
    """The settings load."""
    try:
        from g6_core.config import load_settings

        settings = load_settings(config_dir)
    except (UserError, ImportError) as error:
        return bad("config", str(error), f"correct the file below {config_dir}, or name another with --config-dir")
    return good("config", f"{config_dir}, {settings.config_sha256[:12]}")


def market_finding(config_dir: Path, now_ms: int) -> Finding:
    """The market rules load; warns where the known calendar ends soon and where hours rest on one source."""
    today = ist_date(now_ms)
    try:
        from g6_core.adapters.market_rules import load_market_rules

        rules = load_market_rules(config_dir)
        kind = "a trading day" if rules.is_trading_day(today) else "not a trading day"
        following = rules.shown(rules.next_trading_day(today))
    except (UserError, ImportError) as error:
        return bad("market rules", str(error), f"correct or extend the rules in {config_dir / 'market'}")
    said = [f"{len(rules.underlyings)} indices; today, {rules.shown(today)}, is {kind}, the next is {following}"]
    fixes = []
    if ends := rules.ends_soon(today):
        said.append(ends)
        fixes.append("g6 market refresh FILE with the exchange's list (g6 market refresh --help says where it is)")
    for doubt in _unconfirmed(rules, today):
        said.append(doubt)
        fixes.append(f"confirm it and set certainty: verified in {config_dir / 'market' / 'sessions.yaml'}")
    if (today - rules.days.last).days > STALE_DAYS:
        return bad("market rules", "; ".join(said), "; ".join(dict.fromkeys(fixes)))
    return Finding("market rules", True, "; ".join(said), "; ".join(dict.fromkeys(fixes)))


def _unconfirmed(rules: "MarketRules", today: date) -> Iterator[str]:
    """Each unconfirmed rule once, whatever exchanges it is of."""
    names: dict[tuple[date, str, str], list[str]] = {}
    for rule in rules.doubts(today):
        exchange, _, hours = rule.name.removeprefix("hours of ").partition(" ")
        names.setdefault((rule.start, hours, rule.source), []).append(exchange)
    for (start, hours, source), exchanges in names.items():
        yield f"hours of {' and '.join(exchanges)} from {start} ({hours}) rest on one source, unconfirmed: {source}"


def data_dir_finding(data_dir: Path) -> Finding:
    """Days can be written, and there is room for them."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data_dir) as probe:
            probe.write(b"g6")
            os.fsync(probe.fileno())
    except OSError as error:
        return bad(
            "data dir", f"{data_dir}: {error.strerror}", f"chown or chmod {data_dir}, or choose another --data-dir"
        )
    free_mb = shutil.disk_usage(data_dir).free // 1_000_000
    if free_mb < FREE_MB_MIN:
        return bad("data dir", f"{data_dir}: {free_mb} MB free", f"free {FREE_MB_MIN} MB or choose another --data-dir")
    return good("data dir", f"{data_dir}, {free_mb // 1000} GB free")


def clock_finding(now_ms: int) -> Finding:
    """The clock is plausible, steady and knows India."""
    now = f"{ist_text(now_ms)} IST"
    if now_ms < CLOCK_EARLIEST_MS:
        return bad("clock", f"{now} is before this version was written", "set the clock: timedatectl set-ntp true")
    offset = to_ist(now_ms).utcoffset()
    midnight = at(ist_date(now_ms), to_ist(0).time().replace(hour=0, minute=0))
    if offset is None or offset.total_seconds() != 19_800 or not 0 <= now_ms - midnight < DAY_MS:
        return bad("clock", f"Asia/Kolkata is at {offset}, not +05:30", "reinstall pytz: make clean venv")
    if not time.get_clock_info("monotonic").monotonic:
        return bad("clock", "no monotonic clock", "run G6 on Linux or macOS")
    return good("clock", now)


def kernels_finding() -> Finding:
    """Compiled functions can be kept on disk: otherwise every start compiles anew, for a minute."""
    cache = Path(os.environ.get("NUMBA_CACHE_DIR") or Path(g6_core.__file__).parent / "domain" / "__pycache__")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            return good("kernels", f"compiled code is kept in {cache}")
    except OSError as error:
        return bad(
            "kernels", f"{cache}: {error.strerror}", "make it writable, or set NUMBA_CACHE_DIR to a folder that is"
        )
