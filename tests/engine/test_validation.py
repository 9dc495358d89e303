"""Validation layers and the strategy: each can pass, fail and not know, and each mode says what not knowing does."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from g6_core.config import Settings
from g6_core.domain.ist import MINUTE_MS
from g6_core.domain.records import Direction
from g6_core.domain.risk import Outcome, Verdict
from g6_core.engine.params import SignalParams, UnknownPolicy, ValidationParams
from g6_core.engine.state import UnderlyingState
from g6_core.engine.strategies import STRATEGIES
from g6_core.engine.validation import MIN_HISTORY_DAYS, validate
from tests.engine.kit import HOUR_MS, answer_of, failed, frame_of, trending, verdict_of

LAYERS = [
    "entry_window",
    "theta_cutoff",
    "adx_confirmed",
    "trend_confirmed",
    "iv_rank",
    "iv_zscore",
    "iv_percentile",
    "oi_percentile",
]
NEEDS_HISTORY = set(LAYERS[4:])
# IV 10 to 19 %: mean 14.5, standard deviation 2.872.
IVS = tuple(float(iv) for iv in range(10, 20))
OIS = tuple(range(1_000, 11_000, 1_000))


@pytest.fixture(scope="module")
def signal(settings: Settings) -> SignalParams:
    return replace(settings.engine_params().signal, adx_min_primary=18.0, adx_min_confirmation=20.0)


@pytest.fixture(scope="module")
def mode() -> ValidationParams:
    """Every layer on."""
    return ValidationParams(
        mode="all",
        unknown=UnknownPolicy.BLOCK,
        iv_rank_max=0.8,
        iv_zscore_abs_max=2.0,
        iv_percentile_min=0.4,
        oi_percentile_min=0.3,
        entry_from_of_day_ms=9 * HOUR_MS + 20 * MINUTE_MS,
        theta_cutoff_of_day_ms=14 * HOUR_MS + 30 * MINUTE_MS,
        adx_extra=5.0,
        require_trend_slope=True,
    )


def _judge(
    signal: SignalParams,
    mode: ValidationParams,
    *,
    memory: UnderlyingState | None = None,
    direction: Direction = Direction.BULLISH,
    of_day_ms: int = 11 * HOUR_MS,
    iv_pct: float | None = 15.5,
    ivs: Sequence[float] = IVS,
    oi: int | None = 5_500,
    ois: Sequence[int] = OIS,
) -> list[Verdict]:
    return validate(memory or trending(direction), direction, of_day_ms, iv_pct, ivs, oi, ois, signal, mode)


def test_a_good_moment_passes_every_layer(signal: SignalParams, mode: ValidationParams) -> None:
    for direction in (Direction.BULLISH, Direction.BEARISH):
        found = _judge(signal, mode, direction=direction)
        assert [verdict.rule for verdict in found] == LAYERS
        assert {verdict.outcome for verdict in found} == {Outcome.PASS}


@pytest.mark.parametrize(
    ("change", "rule", "value"),
    [
        ({"of_day_ms": 9 * HOUR_MS + 20 * MINUTE_MS - 1}, "entry_window", None),
        ({"of_day_ms": 14 * HOUR_MS + 30 * MINUTE_MS + 1}, "theta_cutoff", None),
        ({"iv_pct": 17.3}, "iv_rank", 0.8111),
        ({"iv_pct": 8.5, "ivs": (*IVS[5:], *IVS[5:])}, "iv_zscore", None),
        ({"iv_pct": 13.0}, "iv_percentile", 0.3),
        ({"oi": 3_000}, "oi_percentile", 0.2),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_each_layer_can_block(
    signal: SignalParams, mode: ValidationParams, change: dict[str, object], rule: str, value: float | None
) -> None:
    found = _judge(signal, mode, **change)  # type: ignore[arg-type]
    assert answer_of(found, rule) == (Outcome.FAIL, True)
    assert value is None or verdict_of(found, rule).value == value
    assert [verdict.rule for verdict in found] == LAYERS, "the others still answer"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"of_day_ms": 9 * HOUR_MS + 20 * MINUTE_MS}, "entry_window"),
        ({"of_day_ms": 14 * HOUR_MS + 30 * MINUTE_MS}, "theta_cutoff"),
        ({"iv_pct": 17.2}, "iv_rank"),
        ({"iv_pct": 13.5}, "iv_percentile"),
        ({"oi": 3_500}, "oi_percentile"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_value_at_the_edge_passes(
    signal: SignalParams, mode: ValidationParams, change: dict[str, object], rule: str
) -> None:
    assert answer_of(_judge(signal, mode, **change), rule) == (Outcome.PASS, False)  # type: ignore[arg-type]


@pytest.mark.parametrize(("adx", "outcome"), [(23.0, Outcome.PASS), (22.99, Outcome.FAIL), (-1.0, Outcome.UNKNOWN)])
def test_the_mode_asks_for_more_strength_than_the_signal(
    signal: SignalParams, mode: ValidationParams, adx: float, outcome: Outcome
) -> None:
    memory = UnderlyingState(frame_of(1.0, adx, 30, 10), frame_of(1.0, 35, 30, 10))
    found = verdict_of(_judge(signal, mode, memory=memory), "adx_confirmed")
    assert (found.outcome, found.blocks, found.limit) == (outcome, outcome is not Outcome.PASS, 23.0)


@pytest.mark.parametrize(
    ("primary", "confirmation", "direction", "outcome"),
    [
        ((30, 10), (30, 10), Direction.BULLISH, Outcome.PASS),
        ((10, 30), (30, 10), Direction.BULLISH, Outcome.FAIL),
        ((30, 10), (10, 30), Direction.BULLISH, Outcome.FAIL),
        ((20, 20), (30, 10), Direction.BULLISH, Outcome.FAIL),
        ((10, 30), (10, 30), Direction.BEARISH, Outcome.PASS),
        ((10, 30), (30, 10), Direction.BEARISH, Outcome.FAIL),
        ((20, 20), (10, 30), Direction.BEARISH, Outcome.FAIL),
    ],
)
def test_the_trend_is_confirmed_only_on_both_frames(
    signal: SignalParams,
    mode: ValidationParams,
    primary: tuple[float, float],
    confirmation: tuple[float, float],
    direction: Direction,
    outcome: Outcome,
) -> None:
    memory = UnderlyingState(frame_of(0, 35, *primary), frame_of(0, 35, *confirmation))
    found = _judge(signal, mode, memory=memory, direction=direction)
    assert answer_of(found, "trend_confirmed") == (outcome, outcome is Outcome.FAIL)


@pytest.mark.parametrize("policy", list(UnknownPolicy))
@pytest.mark.parametrize(
    ("change", "unknown"),
    [
        pytest.param({"ivs": (), "ois": ()}, NEEDS_HISTORY, id="first day"),
        pytest.param({"ivs": IVS[1:], "ois": OIS[1:]}, NEEDS_HISTORY, id="a day short"),
        pytest.param({"iv_pct": None}, NEEDS_HISTORY - {"oi_percentile"}, id="no volatility now"),
        pytest.param({"oi": None}, {"oi_percentile"}, id="no open interest now"),
        pytest.param({"ivs": (15.5,) * 12}, {"iv_rank", "iv_zscore"}, id="a history without any change"),
        pytest.param({"memory": UnderlyingState()}, {"adx_confirmed", "trend_confirmed"}, id="indicators warming up"),
    ],
)
def test_unknown_is_never_a_yes_or_a_no_but_what_the_mode_makes_of_it(
    signal: SignalParams, mode: ValidationParams, change: dict[str, object], unknown: set[str], policy: UnknownPolicy
) -> None:
    changed = replace(mode, unknown=policy, iv_percentile_min=0.0)
    found = _judge(signal, changed, **change)  # type: ignore[arg-type]
    assert [verdict.rule for verdict in found] == LAYERS
    assert {verdict.rule for verdict in found if verdict.outcome is Outcome.UNKNOWN} == unknown
    assert failed(found) == (unknown if policy is UnknownPolicy.BLOCK else set())
    assert all(verdict.value is None for verdict in found if verdict.rule in unknown)


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"ivs": IVS[:3]}, f"3 of {MIN_HISTORY_DAYS} days of IV history"),
        ({"iv_pct": None}, "no IV at the money now"),
    ],
)
def test_unknown_says_what_is_missing(
    signal: SignalParams, mode: ValidationParams, change: dict[str, object], note: str
) -> None:
    assert verdict_of(_judge(signal, mode, **change), "iv_rank").note == note  # type: ignore[arg-type]


def test_a_layer_without_a_limit_is_off(signal: SignalParams, mode: ValidationParams) -> None:
    off = replace(
        mode,
        iv_rank_max=None,
        iv_zscore_abs_max=None,
        iv_percentile_min=None,
        oi_percentile_min=None,
        require_trend_slope=False,
    )
    assert [verdict.rule for verdict in _judge(signal, off)] == LAYERS[:3]


@pytest.mark.parametrize(
    ("primary", "confirmation", "direction", "outcomes"),
    [
        pytest.param((1, 18), (1, 20), Direction.BULLISH, "pass pass pass", id="up, just strong enough"),
        pytest.param((-1, 40), (-1, 40), Direction.BEARISH, "pass pass pass", id="down"),
        pytest.param((1, 40), (-1, 40), Direction.AVOID, "fail pass pass", id="the frames disagree"),
        pytest.param((1, 17.99), (1, 40), Direction.AVOID, "pass fail pass", id="weak on one minute"),
        pytest.param((1, 40), (1, 19.99), Direction.AVOID, "pass pass fail", id="weak on five"),
        pytest.param((1, 40), (0, -1), Direction.AVOID, "unknown pass unknown", id="five minutes warming up"),
        pytest.param((0, -1), (0, -1), Direction.AVOID, "unknown unknown unknown", id="nothing known"),
        pytest.param((-1, 1), (1, 1), Direction.AVOID, "fail fail fail", id="everything wrong"),
    ],
)
def test_the_signal_needs_both_frames_and_says_what_is_missing(
    signal: SignalParams,
    primary: tuple[float, float],
    confirmation: tuple[float, float],
    direction: Direction,
    outcomes: str,
) -> None:
    memory = UnderlyingState(frame_of(*primary), frame_of(*confirmation))
    found, verdicts = STRATEGIES["supertrend_adx"](memory, signal)
    assert found is direction
    assert [verdict.rule for verdict in verdicts] == ["supertrend_alignment", "adx_primary", "adx_confirmation"]
    assert " ".join(verdict.outcome for verdict in verdicts) == outcomes
    assert all(verdict.blocks == (verdict.outcome is not Outcome.PASS) for verdict in verdicts)
