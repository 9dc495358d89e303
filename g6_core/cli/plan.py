"""What `g6 up` was asked for: which market, where everything listens, where it is written."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from g6_core.adapters.hints import command
from g6_core.cli.parts import HOST, g6, require_free
from g6_core.domain.errors import CalendarError, UserError
from g6_core.schema.paths import DataPaths

if TYPE_CHECKING:
    from g6_core.domain.calendar import MarketRules

# Real seconds from the exchange's start to the open: enough for the pre-open job and the start of who takes part.
LEAD_S = 30
DEFAULT_CONTROL_PORT = 9103


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the stack listens on loopback."""

    ui: int
    exchange: int
    control: int


@dataclass(frozen=True, slots=True)
class Simulation:
    """The simulated exchange: what it quotes, how fast its time goes, from when ("": shortly before the open)."""

    source: str
    seed: int
    speed: float
    start: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asked for. Day and index are unknown ("") for a recording that has only one of them.

    Without a simulation the market is Kite's.
    """

    paths: DataPaths
    config_dir: Path
    day: date | None
    index: str
    ports: Ports
    simulation: Simulation | None

    @property
    def exchange_state(self) -> Path:
        """Where the simulated exchange keeps its orders, so that it outlives its process."""
        return self.paths.root / "state" / "exchange.jsonl"

    @property
    def exchange_url(self) -> str:
        """Where the simulated exchange answers."""
        return f"http://{HOST}:{self.ports.exchange}"

    @property
    def ui_url(self) -> str:
        """Where Dagster's web UI answers."""
        return f"http://{HOST}:{self.ports.ui}"

    @property
    def control_url(self) -> str:
        """Where the sidecar answers."""
        return f"http://{HOST}:{self.ports.control}"

    @property
    def status_command(self) -> str:
        """What a person types to look at the sidecar."""
        port = self.ports.control
        where = () if port == DEFAULT_CONTROL_PORT else ("--control-port", port)
        return command("stream", "status", "--data-dir", self.paths.root, *where)

    def require_ports(self) -> None:
        """Each free, and no two of them the same. Raises UserError naming the option."""
        wanted = [("--ui-port", self.ports.ui, "web UI"), ("--control-port", self.ports.control, "sidecar")]
        if self.simulation is not None:
            wanted.append(("--sim-port", self.ports.exchange, "simulated exchange"))
        taken: dict[int, str] = {}
        for option, port, what in wanted:
            if port in taken:
                raise UserError(f"{option} {port} is also the one of {taken[port]}; choose two different ones")
            taken[port] = option
            require_free(port, what, option)

    def serve(self, resume_at: str) -> list[str]:
        """The command of the simulated exchange; `resume_at` is a time of day to go on from, "" for the first start."""
        simulation = self.simulation
        assert simulation is not None
        start = resume_at or simulation.start
        return g6(
            *("sim", "serve", "--source", simulation.source, "--seed", str(simulation.seed)),
            *("--speed", f"{simulation.speed:g}", "--port", str(self.ports.exchange)),
            *("--state", str(self.exchange_state)),
            *(("--start", start) if start else ("--lead", str(LEAD_S))),
            *("--config-dir", str(self.config_dir)),
            *(("--date", str(self.day)) if self.day is not None else ()),
            *(("--index", self.index) if self.index else ()),
        )


def require_past(day: date | None, rules: "MarketRules", today: date) -> None:
    """Raise CalendarError unless a simulated day is one that Dagster has a partition for."""
    if day is None:
        return
    rules.require_trading_day(day)
    if day > today:
        raise CalendarError(
            f"{day} has not come yet, and Dagster keeps days up to today ({today}); choose an earlier one"
        )
