"""Quotes by REST beside the stream: prices of what is held while it is away, and stamps that prove it alive or dead."""

from collections.abc import Callable, Mapping

from g6_core.domain.events import Alert, Frame
from g6_stream.gateway import KiteGateway, is_out_of_turn

# Others with the same key may quote first so often before a person hears of it.
TURNS_MISSED_MAX = 3
# A read that hangs costs the loop its whole timeout, so proof is not asked for again at once.
STAMPS_RETRY_MS = 30_000


class QuoteReads:
    """Reads quotes and tells of a failure once a spell. A turn that did not come at once comes a second later."""

    def __init__(self, gateway: KiteGateway, alert: Callable[[Alert], None]) -> None:
        self._gateway = gateway
        self._alert = alert
        self._failed, self._is_told = 0, False
        self._stamps_due_ms = 0

    def frames(self, tokens: tuple[int, ...], now_ms: int) -> list[Frame]:
        """Return these quotes as a frame; none when they cannot be had."""
        try:
            ticks = self._gateway.quotes(tokens)
        except Exception as error:  # noqa: BLE001 - a read that failed: the guards already refuse without it
            self._failed += 1
            if self._failed >= (TURNS_MISSED_MAX if is_out_of_turn(error) else 1) and not self._is_told:
                self._is_told = True
                self._alert(Alert("info", f"quote by REST failed: {error}"))
            return []
        self._failed, self._is_told = 0, False
        return [Frame(now_ms, ticks)] if len(ticks) else []

    def stamps(self, tokens: tuple[int, ...], now_ms: int) -> Mapping[int, int] | None:
        """Return the exchange's stamps by token, of those that have data; None when nobody answered."""
        if now_ms < self._stamps_due_ms:
            return None
        try:
            ticks = self._gateway.quotes(tokens)
        except Exception as error:  # noqa: BLE001 - a read that failed: without it the stream is judged by itself
            self._stamps_due_ms = now_ms if is_out_of_turn(error) else now_ms + STAMPS_RETRY_MS
            return None
        return dict(zip(ticks["token"].tolist(), ticks["exchange_ms"].tolist(), strict=True))
