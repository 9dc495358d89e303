"""The pictures of the day report, each as a data URI of a self-contained SVG.

matplotlib is imported when the first picture is drawn: a day that only trades never pays for it.
"""

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, time
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from g6_core.domain.ist import MINUTE_MS, at
from g6_core.domain.records import Direction, TradeRecord
from g6_pipelines.report import series
from g6_pipelines.report.facts import DayFacts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID = "#1c2733", "#66717d", "#e6eaee"
UP, DOWN, ACCENT, SECOND = "#1a7f4b", "#c03a2b", "#1f5fa8", "#b7791f"
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "g6",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "sans-serif"],
    "font.size": 9,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
}
# Colour and label of each way in which a contract-minute ends, by its number in `series.STATES`, and of what was not
# expected.
_ENDED = (
    ("#c9d1d8", "no trade"),
    ("#2f9e66", "live"),
    ("#1f5fa8", "repaired from candles"),
    ("#d9534f", "unverified"),
    ("#f5f7f9", "not expected"),
)


@contextmanager
def _figure(
    width: float, height: float, right: float = 0.12, below: float = 0.3, above: float = 0.34
) -> Iterator["Figure"]:
    """A figure of that many inches with fixed margins: pictures line up, and drawing takes half as long."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # A bare Figure needs no backend and no registry, so nothing is left behind.
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height))
        figure.subplots_adjust(
            left=0.72 / width, right=1 - right / width, bottom=below / height, top=1 - above / height, hspace=0.14
        )
        yield figure


def _data_uri(figure: "Figure") -> str:
    out = io.BytesIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(out.getvalue()).decode("ascii")


def _legend(figure: "Figure", **more: Any) -> None:
    figure.legend(loc="upper center", bbox_to_anchor=(0.5, 1.0), borderaxespad=0.2, **({"ncols": 5} | more))


def _beside(axes: "Axes", y: float, text: str, **more: Any) -> None:
    """Write to the right of the picture, at the height of a value."""
    place: Any = {"xycoords": ("axes fraction", "data"), "xytext": (5, 0), "textcoords": "offset points"}
    axes.annotate(text, (1, y), va="center", **place, **more)


def _clock_axis(axes: "Axes", first_hour: float, last_hour: float) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlim(first_hour, last_hour)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{int(x):02d}:{round(x % 1 * 60):02d}"))


def _session_axis(axes: "Axes", facts: DayFacts) -> None:
    _clock_axis(axes, facts.hours(facts.session.open_ms), facts.hours(facts.session.close_ms))


def index_picture(facts: DayFacts, underlying: str) -> str | None:
    """The index by minute with the 5-minute Supertrend as shading, signals and trades; None without any price."""
    line = series.index_line(facts, underlying)
    if not len(line.x):
        return None
    with _figure(10, 3.9, right=0.85) as figure:
        axes = figure.subplots()
        for start, end, direction in series.trend_spans(facts, underlying):
            axes.axvspan(start, end, color=UP if direction > 0 else DOWN, alpha=0.09, lw=0)
        axes.plot(line.x, line.y, color=INK, lw=1.1)
        trend = series.feature_line(facts, underlying, "st_line_1m")
        if len(trend.x):
            axes.plot(trend.x, trend.y, color=SECOND, lw=0.8, alpha=0.8, label="Supertrend, 1 minute")
        _mark_signals(axes, facts, underlying, line)
        _mark_trades(axes, facts, underlying, line)
        axes.set_ylabel(f"{underlying}, {line.label}")
        _session_axis(axes, facts)
        low, high = float(np.nanmin(line.y)), float(np.nanmax(line.y))
        pad = max((high - low) * 0.12, 1.0)
        axes.set_ylim(low - pad, high + pad)
        if axes.get_legend_handles_labels()[0]:
            _legend(figure)
        return _data_uri(figure)


def _mark_signals(axes: "Axes", facts: DayFacts, underlying: str, line: series.Line) -> None:
    for direction, marker, colour in ((Direction.BULLISH, "^", UP), (Direction.BEARISH, "v", DOWN)):
        at = [
            facts.hours(signal.time_ms)
            for signal in facts.ledger.signals
            if signal.underlying == underlying and signal.direction is direction
        ]
        if at:
            axes.scatter(
                at,
                line.at(at),
                marker=marker,
                s=46,
                facecolor="white",
                edgecolor=colour,
                linewidth=1.4,
                zorder=4,
                label=f"{direction} signal",
            )


def _mark_trades(axes: "Axes", facts: DayFacts, underlying: str, line: series.Line) -> None:
    labelled: set[str] = set()
    trades = [trade for trade in facts.ledger.trades if trade.underlying == underlying]
    for number, trade in enumerate(trades, 1):
        end = trade.exit_ms or facts.session.close_ms
        hours = [facts.hours(trade.entry_ms), facts.hours(end)]
        ending = "open" if not trade.exit_ms else "won" if trade.net_pnl_paise > 0 else "lost"
        label = None if ending in labelled else f"trade, {ending}"
        labelled.add(ending)
        axes.plot(
            hours,
            line.at(hours),
            color={"won": UP, "lost": DOWN}.get(ending, INK),
            lw=2.2,
            marker="o",
            ms=5,
            zorder=5,
            solid_capstyle="round",
            label=label,
        )
        axes.annotate(
            str(number), (hours[0], line.at(hours)[0]), xytext=(-3, 12), textcoords="offset points", weight="bold"
        )


def trade_picture(facts: DayFacts, trade: TradeRecord) -> str:
    """The traded option around the trade: touch, last price, entry, exit, stop and target."""
    price = series.contract_prices(facts, trade.tradingsymbol)
    begin = facts.hours(trade.entry_ms)
    end = facts.hours(trade.exit_ms or facts.session.close_ms)
    first = max(begin - 0.35, facts.hours(facts.session.open_ms))
    last = min(end + 0.35, facts.hours(facts.session.close_ms))
    with _figure(5.4, 3.2, right=0.95) as figure:
        axes = figure.subplots()
        shown = price.filter(pl.col("hour").is_between(first - 0.1, last + 0.1))
        hour = shown["hour"].to_numpy()
        axes.fill_between(
            hour, shown["bid"].to_numpy(), shown["ask"].to_numpy(), color=ACCENT, alpha=0.18, lw=0, label="bid to ask"
        )
        axes.plot(hour, shown["ltp"].to_numpy(), color=ACCENT, lw=1.1, label="last price, by minute")
        entry = trade.entry_paise / 100
        stop = entry * (1 - facts.exits.stop_loss_pct / 100)
        target = entry * (1 + facts.exits.take_profit_pct / 100)
        for level, colour, text in ((stop, DOWN, "stop"), (target, UP, "target"), (entry, MUTED, "entry")):
            axes.axhline(level, color=colour, lw=0.9, ls=(0, (4, 3)))
            _beside(axes, level, f"{text} {level:.2f}", color=colour)
        high = trade.high_water_mark_paise / 100
        axes.scatter([begin], [entry], marker="^", s=60, color=ACCENT, zorder=5)
        if trade.exit_ms:
            axes.scatter([end], [trade.exit_paise / 100], marker="v", s=60, color=INK, zorder=5, label="exit")
        axes.hlines(high, begin, end, color=SECOND, lw=1.1, ls=":", label=f"highest {high:.2f}")
        axes.margins(y=0.08)
        axes.set_ylabel("rupees")
        _clock_axis(axes, first, last)
        _legend(figure)
        return _data_uri(figure)


def pnl_picture(facts: DayFacts) -> str | None:
    """Net result through the day: closed trades after charges, open ones at the last price; None without trades."""
    line = series.pnl_line(facts)
    if not len(line.x):
        return None
    with _figure(10, 2.5, right=0.85, above=0.12) as figure:
        axes = figure.subplots()
        axes.axhline(0, color=MUTED, lw=0.8)
        axes.fill_between(line.x, line.y, 0, where=line.y >= 0, color=UP, alpha=0.18, lw=0, step="post")
        axes.fill_between(line.x, line.y, 0, where=line.y < 0, color=DOWN, alpha=0.18, lw=0, step="post")
        axes.step(line.x, line.y, where="post", color=INK, lw=1.2)
        _beside(axes, line.y[-1], f"{line.y[-1]:,.2f}".replace("-", "\N{MINUS SIGN}"), weight="bold")
        axes.set_ylabel("rupees, net")
        _session_axis(axes, facts)
        return _data_uri(figure)


def coverage_picture(minutes: pl.DataFrame, day: date) -> str | None:
    """How every expected contract-minute ended: minutes across, strikes up, one band per expiry; None without any."""
    bands = series.coverage(minutes, day)
    if not bands:
        return None
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.patches import Patch

    colours = ListedColormap([colour for colour, _ in _ENDED])
    norm = BoundaryNorm(np.arange(len(_ENDED) + 1) - 0.5, len(_ENDED))
    with _figure(10, 0.64 + 1.2 * len(bands), right=0.85) as figure:
        rows = figure.subplots(len(bands), 1, sharex=True, squeeze=False)[:, 0]
        for axes, band in zip(rows, bands, strict=True):
            half = (band.strikes[-1] - band.strikes[0]) / max(len(band.strikes) - 1, 1) / 2 or 0.5
            axes.imshow(
                band.states,
                cmap=colours,
                norm=norm,
                aspect="auto",
                interpolation="nearest",
                origin="lower",
                extent=(band.first_hour, band.last_hour, band.strikes[0] - half, band.strikes[-1] + half),
            )
            axes.set_ylabel("strike")
            axes.annotate(
                band.label, (1, 0.5), xycoords="axes fraction", xytext=(6, 0), textcoords="offset points", va="center"
            )
            axes.grid(visible=False)
            _clock_axis(axes, band.first_hour, band.last_hour)
        _legend(figure, handles=[Patch(color=colour, label=text) for colour, text in _ENDED])
        return _data_uri(figure)


def account_picture(minutes: pl.DataFrame, day: date) -> str | None:
    """Contracts by minute and how each minute of theirs ended; None when nothing was expected."""
    state = pl.col("account").replace_strict(series.STATES, default=len(series.STATES), return_dtype=pl.UInt8)
    counts = minutes.group_by("minute", state.alias("state")).len().pivot("state", index="minute", values="len")
    if counts.is_empty():
        return None
    counts = counts.sort("minute")
    midnight_ms = at(day, time())
    starts = counts["minute"].dt.timestamp("ms").to_numpy()
    hours = (np.append(starts, starts[-1] + MINUTE_MS) - midnight_ms) / 3_600_000
    with _figure(10, 2.2, right=0.85) as figure:
        axes = figure.subplots()
        below = np.zeros(len(hours))
        for number in (1, 2, 0, 3):
            if str(number) in counts.columns:
                colour, label = _ENDED[number]
                own = counts[str(number)].fill_null(0).to_numpy()
                above = below + np.append(own, own[-1])
                axes.fill_between(hours, below, above, step="post", color=colour, label=label, linewidth=0)
                below = above
        axes.set_ylabel("contracts")
        _clock_axis(axes, float(hours[0]), float(hours[-1]))
        _legend(figure)
        return _data_uri(figure)


def smile_picture(chain: Sequence[series.Cut]) -> str | None:
    """Return implied volatility by strike (out-of-the-money side) of `chain_cuts`; None without any."""
    cuts = [cut for cut in chain if cut.rows["otm_iv"].is_finite().any()]
    if not cuts:
        return None
    with _figure(5.4, 3.2, below=0.46) as figure:
        axes = figure.subplots()
        for cut, colour in zip(cuts, _shades(len(cuts)), strict=True):
            known = cut.rows.filter(pl.col("otm_iv").is_finite())
            axes.plot(known["strike"], known["otm_iv"], color=colour, lw=1.3, marker="o", ms=2.6, label=cut.clock)
        axes.axvline(cuts[-1].forward, color=MUTED, lw=0.8, ls=":")
        axes.set_xlabel(f"strike, expiry {cuts[-1].expiry}")
        axes.set_ylabel("implied volatility, %")
        _legend(figure)
        return _data_uri(figure)


def open_interest_picture(chain: Sequence[series.Cut]) -> str | None:
    """Return open interest by strike of the first and the last of `chain_cuts`; None without any."""
    cuts = [cut for cut in chain if cut.rows["call_oi"].sum()]
    if not cuts:
        return None
    first, last = cuts[0], cuts[-1]
    with _figure(5.4, 3.2, below=0.46) as figure:
        axes = figure.subplots()
        strikes = last.rows["strike"].to_numpy()
        width = float(np.diff(strikes).min()) if len(strikes) > 1 else 50.0
        for side, colour, shift in (("call", DOWN, -0.21), ("put", UP, 0.21)):
            bars: dict[str, Any] = {"width": width * 0.4, "color": colour}
            axes.bar(strikes + shift * width, last.rows[f"{side}_oi"].to_numpy() / 1e5, label=f"{side}s", **bars)
            earlier = first.rows.join(last.rows.select("strike"), on="strike").drop_nulls(f"{side}_oi")
            where = earlier["strike"].to_numpy() + shift * width
            axes.hlines(
                earlier[f"{side}_oi"].to_numpy() / 1e5, where - 0.2 * width, where + 0.2 * width, color=INK, lw=1.1
            )
        axes.axvline(last.forward, color=MUTED, lw=0.8, ls=":")
        axes.set_xlabel(f"strike, expiry {last.expiry}; bars {last.clock}, lines {first.clock}")
        axes.set_ylabel("open interest, lakh units")
        _legend(figure)
        return _data_uri(figure)


def _shades(count: int) -> Sequence[tuple[float, float, float]]:
    """Light to dark blue: earlier to later."""
    weights = np.linspace(0.35, 1.0, count)
    base = np.array([int(ACCENT[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return [tuple(float(part) for part in 1 - weight * (1 - base)) for weight in weights]  # type: ignore[misc]
