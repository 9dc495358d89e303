"""Settings: what ships, what is refused and in which words, and what the hash covers."""

import shutil
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import date
from pathlib import Path

import pytest
import yaml

from g6_core.config import Settings, check_against_rules, load_settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import ConfigError
from g6_core.engine.params import EngineParams, UnknownPolicy

MAIN = "g6.yaml"
STRATEGY = "strategies/supertrend_adx.yaml"
HOUR_MS = 3_600_000
MINUTE_MS = 60_000

Change = Callable[[str, str, str], Path]


@pytest.fixture
def change(config_dir: Path, tmp_path: Path) -> Change:
    """Copies the shipped configuration with one text in one file replaced."""

    def changed(file: str, old: str, new: str) -> Path:
        target = tmp_path / "config"
        if not target.exists():
            shutil.copytree(config_dir, target)
        text = (target / file).read_text(encoding="utf-8")
        assert old in text, f"{file} does not hold {old!r}"
        (target / file).write_text(text.replace(old, new, 1), encoding="utf-8")
        return target

    return changed


def test_the_shipped_settings_are_the_defaults_of_the_design(settings: Settings) -> None:
    params = settings.engine_params()
    assert settings.capital_paise == params.capital_paise == 300_000_00
    assert settings.collection.interval_s == 60
    assert (params.signal.supertrend_period, params.signal.supertrend_multiplier) == (10, 3)
    assert (params.signal.adx_period, params.signal.adx_min_primary, params.signal.adx_min_confirmation) == (14, 18, 20)
    assert (params.exits.stop_loss_pct, params.exits.take_profit_pct, params.exits.circuit_pct) == (30, 60, 6)
    assert (params.exits.break_even_at_pct, params.exits.trail_pct) == (10, 3)
    assert params.exits.time_exit_of_day_ms == 15 * HOUR_MS + 20 * MINUTE_MS
    assert params.exits.flat_by_of_day_ms == 15 * HOUR_MS + 25 * MINUTE_MS
    assert [(band.up_to_paise, band.allocation_pct, band.risk_pct) for band in params.sizing.bands] == [
        (75_000_00, 30, 5),
        (150_000_00, 25, 3.5),
        (300_000_00, 20, 3),
        (None, 20, 2.5),
    ]
    assert params.strikes.iv_floor_pct["NIFTY"] == 6
    assert params.strikes.max_spread_paise == 500
    assert params.guards.cooldown_ms == 300_000
    assert params.config_sha256 == settings.config_sha256


@pytest.mark.parametrize(
    ("mode", "cutoff", "unknown"),
    [
        ("conservative", "14:00", UnknownPolicy.BLOCK),
        ("balanced", "14:30", UnknownPolicy.ALLOW),
        ("aggressive", "15:00", UnknownPolicy.ALLOW),
    ],
)
def test_each_validation_mode_has_its_own_limits(
    change: Change, mode: str, cutoff: str, unknown: UnknownPolicy
) -> None:
    folder = change(MAIN, "validation_mode: balanced", f"validation_mode: {mode}")
    validation = load_settings(folder).engine_params().validation
    assert validation.mode == mode
    assert validation.unknown is unknown
    hours, minutes = map(int, cutoff.split(":"))
    assert validation.theta_cutoff_of_day_ms == hours * HOUR_MS + minutes * MINUTE_MS
    assert (validation.iv_percentile_min, validation.oi_percentile_min) == (0.35, 0.25)


def test_every_number_of_the_engine_is_of_the_type_it_declares(settings: Settings) -> None:
    def walk(value: object) -> None:
        if is_dataclass(value):
            for field in fields(value):
                inner = getattr(value, field.name)
                if field.name.endswith(("_ms", "_paise")):
                    assert inner is None or type(inner) is int, field.name
                if field.name.endswith("_pct") and not isinstance(inner, dict):
                    assert type(inner) is float, field.name
                walk(inner)
        elif isinstance(value, tuple):
            for inner in value:
                walk(inner)

    params = settings.engine_params()
    assert isinstance(params, EngineParams)
    walk(params)


def test_offsets_are_every_step_of_the_range(settings: Settings) -> None:
    assert settings.index("NIFTY").offsets == tuple(range(-10, 11))


REFUSED = [
    (MAIN, "  max_lots:", "  max_lot:", "risk.max_lot: unknown key (did you mean max_lots?); remove it or correct it"),
    (MAIN, "capital_inr:", "7: x\ncapital_inr:", "[7]: 7 is not a name; write the key in letters or in quotes"),
    (MAIN, "capital_inr: 300000\n", "", "capital_inr: missing; add it"),
    (
        MAIN,
        "capital_inr: 300000",
        "capital_inr: -1",
        "capital_inr: -1 is impossible, it must be at least 1000; correct",
    ),
    (
        MAIN,
        "capital_inr: 300000",
        "capital_inr: '300000'",
        "capital_inr: '300000' is not a whole number; write a plain",
    ),
    (MAIN, "capital_inr: 300000", "capital_inr: 1e5", "capital_inr: '1e5' is not a whole number"),
    (MAIN, "trades_per_day: 6", "trades_per_day: 6.5", "risk.max_trades_per_day: 6.5 is not a whole number"),
    (MAIN, "interval_s: 60", "interval_ms: 60000", "collection.interval_ms: unknown key (did you mean interval_s?)"),
    (MAIN, "interval_s: 60", "interval_s: true", "collection.interval_s: True is not a whole number"),
    (MAIN, "interval_s: 60", "interval_s: 10", "collection.interval_s: 10 is impossible, it must be at least 15"),
    (MAIN, "interval_s: 60", "interval_s: 301", "collection.interval_s: 301 is impossible, it must be at most 300"),
    (
        MAIN,
        "interval_s: 60",
        "interval_s: 45",
        "collection.interval_s: 45 neither divides a minute nor is whole minutes",
    ),
    (MAIN, "enabled: false", "enabled: maybe", "influx.enabled: 'maybe'"),
    (MAIN, "url: http://127.0.0.1:8086", "url: 127.0.0.1:8086", "influx.url: '127.0.0.1:8086' has the wrong form"),
    (MAIN, "url: http://127.0.0.1:8086", "url: http://h/query", "influx.url: 'http://h/query' has the wrong form"),
    (MAIN, "bucket: g6", "bucket: a/b/c", "influx.bucket: 'a/b/c' has the wrong form"),
    (MAIN, "bucket: g6", "bucket: g6\n  buckets: x", "influx.buckets: unknown key (did you mean bucket?)"),
    (MAIN, "bucket: g6", "bucket: g6\n  token: x", "influx.token: secrets come from the environment"),
    (MAIN, "prefix: days", "prefix: days/", "archive.prefix: 'days/' has the wrong form"),
    (
        MAIN,
        "url: https://s3.ap-south-1.amazonaws.com",
        "url: file://archive",
        "archive.url: 'file://archive' has the wrong",
    ),
    (
        MAIN,
        "region: ap-south-1",
        "region: ap-south-1\n  secret: x",
        "archive.secret: secrets come from the environment",
    ),
    (MAIN, "stream_days: 7", "stream_days: 0", "retention.stream_days: 0 is impossible, it must be at least 1"),
    (MAIN, "csv_days: null", "csv_day: null", "retention.csv_day: unknown key (did you mean csv_days?)"),
    (MAIN, '"15:20"', "15:20", 'exits.time_exit: 920 is not a time of day; write it in quotes as "HH:MM", IST'),
    (MAIN, '"15:20"', '"15.20"', "exits.time_exit: '15.20' is not a time of day"),
    (MAIN, '"15:20"', '"24:00"', "exits.time_exit: '24:00' is not a time of day"),
    (MAIN, '"15:20"', '"15:25"', "exits.time_exit: is not before flat_by; leave some minutes between them"),
    (
        MAIN,
        "stop_loss_pct: 30",
        "stop_loss_pct: 0.3",
        "exits.stop_loss_pct: 0.3 is impossible, it must be at least 1.0 (per",
    ),
    (MAIN, "stop_loss_pct: 30", "stop_loss_pct: .nan", "exits.stop_loss_pct: nan is not a number"),
    (
        MAIN,
        "even_at_pct: 10",
        "even_at_pct: 60",
        "exits.break_even_at_pct: 60.0 is not below take_profit_pct 60.0; lower it",
    ),
    (MAIN, "min: -10, max", "min: 1, max", "indices.NIFTY.offsets.min: 1 is impossible, it must be at most 0"),
    (
        MAIN,
        "this_week, next_week",
        "this_week, this_week",
        "indices.NIFTY.expiry_codes: names a code twice; list each code",
    ),
    (
        MAIN,
        "this_week, next_week",
        "weekly, next_week",
        "indices.NIFTY.expiry_codes[0]: 'weekly' is not one of 'this_week'",
    ),
    (MAIN, "iv_floor_pct: 6", "iv_floor_pct: 60", "indices.NIFTY.iv_floor_pct: 60.0 is not below iv_ceiling_pct 60.0"),
    (MAIN, "  NIFTY:", "  nifty:", "indices.nifty: 'nifty' has the wrong form"),
    (MAIN, "jitter_ms: 40", "jitter_ms: 90", "simulation.latency_jitter_ms: 90 is above order_latency_ms 80; lower it"),
    (
        MAIN,
        "up_to_inr: 150000",
        "up_to_inr: 75000",
        "risk.capital_bands: does not ascend; order the bands by up_to_inr",
    ),
    (MAIN, "up_to_inr: null", "up_to_inr: 900000", "risk.capital_bands: needs exactly one open end, on the last band"),
    (MAIN, "risk_pct: 3.5", "risk_pct: 35", "risk.capital_bands: risk_pct 35.0 is above allocation_pct 25.0"),
    (MAIN, "delta_min: 0.25", "delta_min: 25", "strikes.delta_min: 25 is impossible, it must be at most 1"),
    (MAIN, "delta_max: 0.55", "delta_max: 0.2", "strikes.delta_min: 0.25 is not below delta_max 0.2"),
    (MAIN, '"14:00", delta', '"12:00", delta', "strikes.delta_floors: does not ascend; order them by time of day"),
    (
        MAIN,
        "steps_otm_max: 3",
        "steps_otm_max: 6",
        "strikes.steps_otm_max: 6 is above window_steps 5; widen the window",
    ),
    (MAIN, "width_pct: 5", "width_pct: 25", "execution.stop_limit_width_pct: 25 is impossible, it must be at most 20"),
    (
        MAIN,
        "modifications: 20",
        "modifications: 26",
        "execution.max_modifications: 26 is impossible, it must be at most 25",
    ),
    (
        MAIN,
        "product: MIS",
        "product: CNC",
        "execution.product: 'CNC' is not one of 'MIS' or 'NRML'; choose one of them",
    ),
    (
        MAIN,
        "mode: balanced",
        "mode: bold",
        "trading.validation_mode: 'bold' is not one of 'conservative', 'balanced' or",
    ),
    (MAIN, "capital_inr:", "kite_api_key: x\ncapital_inr:", "kite_api_key: secrets come from the environment, never"),
    (MAIN, "  max_lots:", "  access_token: x\n  max_lots:", "risk.access_token: secrets come from the environment"),
    (
        STRATEGY,
        "iv_percentile_min: 0.35",
        "iv_percentile_min: 35",
        "validation_modes.conservative.iv_percentile_min: 35 is",
    ),
    (
        STRATEGY,
        '"09:20"',
        '"14:00"',
        "validation_modes.conservative.entry_from: is not before theta_cutoff; leave time",
    ),
    (STRATEGY, '"15:00"', '"15:21"', "validation_modes.aggressive.theta_cutoff: is after exits.time_exit of "),
    (STRATEGY, "  aggressive:", "  agressive:", "validation_modes.agressive: 'agressive' is not one of 'conservative'"),
    (STRATEGY, "adx_period: 14", "adx_periods: 14", "signal.adx_periods: unknown key (did you mean adx_period?)"),
]


@pytest.mark.parametrize(("file", "old", "new", "message"), REFUSED, ids=[row[3].split(";")[0] for row in REFUSED])
def test_a_wrong_value_is_refused_in_one_line_with_file_key_and_fix(
    change: Change, file: str, old: str, new: str, message: str
) -> None:
    folder = change(file, old, new)
    with pytest.raises(ConfigError) as caught:
        load_settings(folder)
    assert str(caught.value).startswith(f"{folder / file}: {message}")
    assert "\n" not in str(caught.value)
    assert "; " in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("capital_inr: 300000", "capital_inr: 300000\ncapital_inr: 1", ":4:1", "key 'capital_inr' is given twice"),
        ("  NIFTY:", "  NIFTY: {}\n  NIFTY:", ":9:3", "key 'NIFTY' is given twice"),
        ("capital_inr: 300000", "capital_inr: [1", ":7:1", "did not find expected ',' or ']'"),
        ("capital_inr: 300000", "\tcapital_inr: 300000", ":3:1", "found character that cannot start any token"),
        ("capital_inr: 300000", "capital_inr: *x", ":3:14", "*x refers to another place"),
        ("capital_inr: 300000", "? [a]\n: 1", ":3:3", "a key must be a plain value"),
        ("capital_inr: 300000", "capital_inr: !!python/object:os.x {}", ":3:14", "could not determine a constructor"),
    ],
)
def test_broken_yaml_is_answered_with_line_and_column(
    change: Change, old: str, new: str, place: str, message: str
) -> None:
    folder = change(MAIN, old, new)
    with pytest.raises(ConfigError) as caught:
        load_settings(folder)
    assert str(caught.value).startswith(f"{folder / MAIN}{place}: {message}")
    assert str(caught.value).endswith("; correct the YAML there")


def test_several_problems_are_told_at_once_one_line_each(change: Change) -> None:
    change(MAIN, "interval_s: 60", "interval_s: 5")
    folder = change(MAIN, "max_lots: 100", "max_lots: 0")
    with pytest.raises(ConfigError) as caught:
        load_settings(folder)
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["collection.interval_s", "risk.max_lots"]


def test_a_missing_strategy_is_answered_with_the_ones_there_are(change: Change) -> None:
    folder = change(MAIN, "strategy: supertrend_adx", "strategy: orb")
    with pytest.raises(ConfigError, match=r"trading\.strategy: there is no .*orb\.yaml; choose one of supertrend_adx$"):
        load_settings(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file; restore it or name the right configuration directory"),
        (b"", "holds no mapping; write `key: value` lines as in the shipped file"),
        (b"- a\n", "holds no mapping"),
        (b"\xff\xfe\x00", "is not UTF-8 text; save it as UTF-8"),
        (b"a: b\x00", "correct the YAML"),
        (b"#" * 1_000_001, "larger than 1000000 bytes; this is not a configuration file"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / MAIN).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / MAIN}: ")
    assert message in str(caught.value)


def test_a_directory_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / MAIN).mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(tmp_path)


def test_the_hash_ignores_comments_order_and_place_and_sees_every_value(
    change: Change, config_dir: Path, settings: Settings
) -> None:
    folder = change(MAIN, "capital_inr: 300000\n", "")
    text = (folder / MAIN).read_text(encoding="utf-8")
    (folder / MAIN).write_text(f"# moved to the end\n{text}\ncapital_inr: 300000\n", encoding="utf-8")
    assert load_settings(folder).config_sha256 == settings.config_sha256

    main = yaml.safe_load((config_dir / MAIN).read_text(encoding="utf-8"))
    main["risk"]["max_lots"] = 99
    (folder / MAIN).write_text(yaml.safe_dump(main), encoding="utf-8")
    other = load_settings(folder)
    assert other.config_sha256 != settings.config_sha256

    strategy = (folder / STRATEGY).read_text(encoding="utf-8")
    (folder / STRATEGY).write_text(strategy.replace("adx_period: 14", "adx_period: 15"), encoding="utf-8")
    assert load_settings(folder).config_sha256 not in (settings.config_sha256, other.config_sha256)


def test_a_copy_may_be_turned_on_within_a_day_and_is_off_without_its_section(
    change: Change, config_dir: Path, settings: Settings
) -> None:
    assert settings.influx is None
    on = load_settings(change(MAIN, "enabled: false", "enabled: true"))
    assert on.influx is not None
    assert (on.influx.url, on.influx.org, on.influx.bucket) == ("http://127.0.0.1:8086", "g6", "g6")
    main = yaml.safe_load((config_dir / MAIN).read_text(encoding="utf-8"))
    del main["influx"], main["archive"], main["retention"]
    (on.path).write_text(yaml.safe_dump(main), encoding="utf-8")
    without = load_settings(on.path.parent)
    assert without.influx is None
    assert without.archive is None
    assert without.retention.stream_days is None
    # The day pack is sealed with this hash: what is decided does not depend on where copies go.
    assert on.config_sha256 == without.config_sha256 == settings.config_sha256


def test_settings_cannot_be_changed_after_loading(settings: Settings) -> None:
    with pytest.raises(AttributeError):
        settings.config_sha256 = "x"  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        settings.collection.interval_s = 15  # type: ignore[misc]


# Against the market rules


def test_the_shipped_settings_fit_the_rules_of_ordinary_days(settings: Settings, rules: MarketRules) -> None:
    for text in ("2025-08-29", "2026-08-18", "2026-12-08"):
        check_against_rules(settings, rules, date.fromisoformat(text), settings.indices)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  SENSEX:", "  BANKEX:", "indices.BANKEX: unknown index; choose one of NIFTY, BANKNIFTY"),
        (
            'flat_by: "15:25"',
            'flat_by: "15:26"',
            "exits.flat_by: is after 15:25:00, when the broker squares off MIS on BFO on",
        ),
    ],
)
def test_settings_that_contradict_the_rules_are_refused(
    change: Change, rules: MarketRules, old: str, new: str, message: str
) -> None:
    folder = change(MAIN, old, new)
    with pytest.raises(ConfigError) as caught:
        check_against_rules(load_settings(folder), rules, date(2025, 8, 29), rules.underlyings)
    assert str(caught.value).startswith(f"{folder / MAIN}: {message}")


def test_overnight_products_may_be_flat_later_than_the_mis_cutoff(change: Change, rules: MarketRules) -> None:
    change(MAIN, 'flat_by: "15:25"', 'flat_by: "15:29"')
    folder = change(MAIN, "product: MIS", "product: NRML")
    check_against_rules(load_settings(folder), rules, date(2025, 8, 29), rules.underlyings)


def test_an_index_without_settings_is_named(change: Change) -> None:
    folder = change(MAIN, "  SENSEX:", "  BANKEX:")
    with pytest.raises(ConfigError, match=r"indices\.SENSEX: missing; add it, or choose one of NIFTY, BANKNIFTY"):
        load_settings(folder).index("SENSEX")
