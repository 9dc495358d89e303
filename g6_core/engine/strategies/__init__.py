"""Entry strategies, one module each; the registry maps a name in YAML to one."""

from collections.abc import Callable

from g6_core.domain.records import Direction
from g6_core.domain.risk import Verdict
from g6_core.engine.params import SignalParams
from g6_core.engine.state import UnderlyingState
from g6_core.engine.strategies import supertrend_adx

Strategy = Callable[[UnderlyingState, SignalParams], tuple[Direction, tuple[Verdict, ...]]]

STRATEGIES: dict[str, Strategy] = {"supertrend_adx": supertrend_adx.evaluate}
