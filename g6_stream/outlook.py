"""Why nothing is entered, index by index, in words: from the newest decision and the engine's own state."""

from dataclasses import dataclass

from g6_core.domain.ist import MINUTE_MS, ist_clock
from g6_core.domain.records import DecisionRecord
from g6_core.domain.risk import Outcome, Verdict
from g6_core.engine.bars import FRAMES_MS
from g6_core.engine.inputs import UnderlyingInputs
from g6_core.engine.params import SignalParams
from g6_core.engine.state import EngineState, FrameState, UnderlyingState

REASONS_MAX = 3
LABELS = ("1-minute", "5-minute")


@dataclass(frozen=True, slots=True)
class Outlook:
    """One index: its price, 0 without one; the standing signal, `avoid` without one; and what comes of it."""

    underlying: str
    index: str
    spot_paise: int
    direction: str
    decided_ms: int
    why: str


class Outlooks:
    """How things stand with each index: asked each second, and the words are made anew when they can have changed."""

    def __init__(self) -> None:
        self._words: dict[str, tuple[tuple[object, ...], str]] = {}

    def of(self, state: EngineState, inputs: UnderlyingInputs, latest: DecisionRecord | None, now_ms: int) -> Outlook:
        """Return how things stand with one index; `latest` is its newest decision."""
        quote = state.board.quote(inputs.index.token)
        memory = state.per_underlying[inputs.underlying]
        key = (now_ms // MINUTE_MS, latest, quote is None, memory.primary.bars, memory.confirmation.bars)
        known = self._words.get(inputs.underlying)
        if known is None or known[0] != key:
            known = self._words[inputs.underlying] = (key, _why(state, inputs, latest, now_ms))
        return Outlook(
            inputs.underlying,
            inputs.index.tradingsymbol,
            quote.ltp_paise if quote is not None else 0,
            memory.direction,
            latest.time_ms if latest is not None else 0,
            known[1],
        )


def _why(state: EngineState, inputs: UnderlyingInputs, latest: DecisionRecord | None, now_ms: int) -> str:
    if now_ms < state.inputs.open_ms:
        return f"the market opens at {ist_clock(state.inputs.open_ms)[:5]}"
    if now_ms >= state.inputs.close_ms:
        return f"the market has been closed since {ist_clock(state.inputs.close_ms)[:5]}"
    if state.board.quote(inputs.index.token) is None:
        return f"no price of {inputs.index.tradingsymbol} has come yet"
    memory = state.per_underlying[inputs.underlying]
    if latest is None:
        first_ms = _next_end(memory.primary, FRAMES_MS[0], now_ms)
        return f"nothing to judge by before the first 1-minute bar closes at {ist_clock(first_ms)[:5]}"
    clock = ist_clock(latest.time_ms)[:5]
    if latest.approved:
        return f"entry of {latest.quantity} {latest.tradingsymbol} sent at {clock}"
    blocking = [one for one in latest.verdicts if one.blocks]
    reasons = list(dict.fromkeys(_words(one, memory, state.params.signal, now_ms) for one in blocking))
    more = f"; and {len(reasons) - REASONS_MAX} more" if len(reasons) > REASONS_MAX else ""
    what = f"{latest.direction} signal, not entered at {clock}" if latest.signal_id else "no signal yet"
    if not latest.signal_id and not any(one.outcome is Outcome.UNKNOWN for one in blocking):
        what = f"no signal at {clock}"
    return f"{what}: {'; '.join(reasons[:REASONS_MAX])}{more}"


def _words(verdict: Verdict, memory: UnderlyingState, params: SignalParams, now_ms: int) -> str:
    """One blocking verdict, for people."""
    frames = (memory.primary, memory.confirmation)
    is_unknown = verdict.outcome is Outcome.UNKNOWN
    match verdict.rule:
        case "adx_primary" | "adx_confirmation":
            place = int(verdict.rule == "adx_confirmation")
            if is_unknown:
                return _warming("ADX", frames[place], place, 2 * params.adx_period, now_ms)
            return f"{LABELS[place]} ADX is {verdict.value:.1f}, {verdict.limit:g} are needed"
        case "supertrend_alignment" if is_unknown:
            place = int(frames[0].direction != 0)
            return _warming("Supertrend", frames[place], place, params.supertrend_period, now_ms)
        case "supertrend_alignment":
            return "Supertrend of 1 and 5 minutes disagree"
        case _:
            return _plainly(verdict)


def _warming(what: str, frame: FrameState, place: int, needed: int, now_ms: int) -> str:
    frame_ms = FRAMES_MS[place]
    until_ms = _next_end(frame, frame_ms, now_ms) + max(needed - frame.bars - 1, 0) * frame_ms
    bars = f"{frame.bars} of {needed} bars"
    return f"{LABELS[place]} {what} warms until {ist_clock(until_ms)[:5]} at the earliest ({bars})"


def _next_end(frame: FrameState, frame_ms: int, now_ms: int) -> int:
    """Return when the bar that is under construction ends."""
    start_ms = frame.start_ms + frame_ms if frame.bars else 0
    return max(start_ms, now_ms // frame_ms * frame_ms) + frame_ms


def _plainly(verdict: Verdict) -> str:
    rule = verdict.rule.replace("_", " ")
    if verdict.note:
        return f"{rule}: {verdict.note}"
    if verdict.value is None:
        return f"{rule}: not known yet"
    limit = f", limit {verdict.limit:g}" if verdict.limit is not None else ""
    return f"{rule}: {verdict.value:g}{limit}"
