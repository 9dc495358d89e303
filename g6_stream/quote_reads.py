"""Quotes by REST beside the stream: prices of what is held while it is away, and stamps that prove it alive or dead."""

from collections.abc import Callable, Mapping

from g6_core.domain.events import Alert, Frame
from g6_core.domain.ist import SECOND_MS
from g6_stream.gateway import KiteGateway, is_out_of_turn

# Others with the same key may quote first so often before a person hears of it.
TURNS_MISSED_MAX = 3
# A read that hangs or takes longer than a second holds the loop up, so proof is not asked for again at once.
STAMPS_RETRY_MS = 30_000


class QuoteReads:
    """Reads quotes and tells of a failure once a spell. A turn that did not come at once comes a second later."""

    def __init__(self, gateway: KiteGateway, alert: Callable[[Alert], None]) -> None:
        self._gateway = gateway
        self._alert = alert
        self._failed, self._is_told = 0, False
        self._stamps_due_ms = self._turns_missed = 0
        self._read_s = 0

    def frames(self, tokens: tuple[int, ...], now_ms: int) -> list[Frame]:
        """Return these quotes as a frame; none when they cannot be had."""
        self._read_s = now_ms // SECOND_MS
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

    def stamps(
        self, tokens: tuple[int, ...], now_ms: int, clock: Callable[[], int]
    ) -> tuple[tuple[int, ...], Mapping[int, int] | None]:
        """Return who was asked for, and the exchange's stamps of those that have data; None when nobody answers.

        A turn that is not to be had, or that this second has used for prices, is no question; several in a row are one.
        """
        if now_ms < self._stamps_due_ms:
            return tokens, None
        if now_ms // SECOND_MS == self._read_s:
            return self._missed_turn(tokens)
        begun_ms = clock()
        try:
            ticks = self._gateway.quotes(tokens)
        except Exception as error:  # noqa: BLE001 - a read that failed: without it the stream is judged by itself
            if is_out_of_turn(error):
                return self._missed_turn(tokens)
            self._stamps_due_ms = clock() + STAMPS_RETRY_MS
            return tokens, None
        self._turns_missed = 0
        if clock() - begun_ms > SECOND_MS * max(1.0, self._gateway.speed):
            self._stamps_due_ms = clock() + STAMPS_RETRY_MS
        return tokens, dict(zip(ticks["token"].tolist(), ticks["exchange_ms"].tolist(), strict=True))

    def _missed_turn(self, tokens: tuple[int, ...]) -> tuple[tuple[int, ...], None]:
        self._turns_missed += 1
        return tokens if self._turns_missed >= TURNS_MISSED_MAX else (), None
