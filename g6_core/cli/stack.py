"""The stack of `g6 up`: its services, the order in which they come and go, and the phases of its day."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from threading import Event

from g6_core.adapters.confirmation import confirm_simulated
from g6_core.adapters.day_pack_store import load_day_pack
from g6_core.adapters.folders import nothing_left_if_refused
from g6_core.adapters.ledger.ledger import Ledger
from g6_core.adapters.world import Simulated, claim_day, only_run
from g6_core.cli.parts import (
    OWN_STORES,
    answer,
    code_server,
    daemon,
    exchange_status,
    g6,
    job,
    listens,
    make_dagster_home,
    make_workspace,
    web_ui,
)
from g6_core.cli.plan import Wanted
from g6_core.cli.processes import Processes, free_port
from g6_core.cli.progress import JobLog
from g6_core.cli.supervisor import Service, Stopped, Supervisor
from g6_core.config import Settings
from g6_core.domain.calendar import MarketRules
from g6_core.domain.errors import DataError
from g6_core.domain.ist import SECOND_MS, ist_clock, ist_date, utc_text

COLLECTOR = "collector"
# Who trades goes first, while everybody it needs is still there; the exchange last.
ENDING_ORDER = (("sidecar",), (COLLECTOR,), ("web-ui", "daemon", "code-server"), ("exchange",))
LOOK_EVERY_S = 1.0
READ_BYTES_MAX = 100_000


def run_stack(wanted: Wanted, settings: Settings, rules: MarketRules, say: Callable[[str], None]) -> None:
    """Bring the stack up, follow its day, and end it in order when somebody asks for that.

    Raises a G6Error of the failed process's kind when a part cannot start or keeps dying; nothing stays behind.
    """
    paths = wanted.paths
    if not paths.root.exists():
        # Nobody else can be at work there, and what is refused makes no folder.
        wanted.require_ports()
    # The folder before the ports: the same command twice is told about the other one, not about its port.
    with nothing_left_if_refused(paths.root) as begun, only_run(paths):
        wanted.require_ports()
        home = make_dagster_home(paths)
        environment = {
            "G6_SIM_URL": wanted.exchange_url,
            "G6_DATA_DIR": str(paths.root.resolve()),
            "G6_CONFIG_DIR": str(wanted.config_dir.resolve()),
            "G6_CONTROL_PORT": str(wanted.ports.control),
            "DAGSTER_HOME": str(home),
            **(OWN_STORES if wanted.simulation is not None else {}),
        }
        _turn_logs(paths.root / "logs")
        with Processes(paths.root / "logs", environment) as group:
            supervisor = Supervisor(group, say)
            with supervisor.listening():
                try:
                    _Stack(wanted, settings, rules, supervisor, home, begun).run()
                except Stopped:
                    say(f"ending everything ({supervisor.stopped_by}); Ctrl+C kills it")
                finally:
                    for names in ENDING_ORDER:
                        supervisor.stop(*names)
                    group.stop()
    say("everything has ended")


@dataclass(frozen=True, slots=True)
class _Time:
    """What the exchange's clock said at a moment of the machine's monotonic one."""

    now_ms: int
    told_s: float
    speed: float


@dataclass(slots=True)
class _Stack:
    """One stack on its way through the day."""

    wanted: Wanted
    settings: Settings
    rules: MarketRules
    supervisor: Supervisor
    home: Path
    begun: Event
    time: "_Time | None" = None
    log_offset: int = 0
    job_log: JobLog | None = None

    def run(self) -> None:
        """Start everything, then watch until Stopped."""
        wanted, supervisor = self.wanted, self.supervisor
        port = free_port()
        code = Service("code-server", lambda: code_server(port), lambda: listens(port))
        if wanted.simulation is not None:
            exchange = Service("exchange", self._serve, self._knows_time)
            supervisor.start(exchange)
            supervisor.start(code)
            supervisor.await_ready(exchange)
            self._settle_day()
        else:
            supervisor.start(code)
        self.begun.set()
        if not self._has_pack():
            self._run_job("pre_open", "preparing the day")
        collector, sidecar = self._traders()
        supervisor.start(collector)
        supervisor.start(sidecar)
        workspace = make_workspace(self.home, port)
        supervisor.await_ready(code)
        ui = Service("web-ui", lambda: web_ui(wanted.ports.ui, workspace), self._ui_answers)
        supervisor.start(ui)
        # One after the other: both would make the tables of a new storage.
        supervisor.await_ready(ui)
        supervisor.start(Service("daemon", lambda: daemon(workspace)))
        supervisor.await_ready(sidecar, collector)
        self._show_addresses()
        supervisor.each_time = self._look
        while not (collector.has_ended and sidecar.has_ended):
            supervisor.pause()
        self._evening()
        while True:
            supervisor.pause()

    def _traders(self) -> tuple[Service, Service]:
        """Who lives by the market's time: both end by themselves after the close."""
        paths, day, index = self.wanted.paths, self.wanted.day, self.wanted.index
        assert day is not None
        session = job("session", day, index)
        stream = g6("stream", "run", "--data-dir", str(paths.root), "--date", str(day))
        return (
            Service(COLLECTOR, lambda: session, self._collector_is_there, may_end=True),
            Service("sidecar", lambda: stream, self._sidecar_answers, may_end=True),
        )

    def _serve(self) -> list[str]:
        """The exchange's command; after a crash it goes on from the time that it would have by now."""
        told = self.time
        if told is None:
            # A simulated day is made anew at each start.
            self.wanted.exchange_state.unlink(missing_ok=True)
            return self.wanted.serve("")
        now_ms = told.now_ms + int((time.monotonic() - told.told_s) * told.speed * SECOND_MS)
        # After midnight the day is over anyway, and only its date matters.
        return self.wanted.serve(ist_clock(now_ms) if ist_date(now_ms) == self.wanted.day else "23:59:59")

    def _knows_time(self) -> bool:
        """Ask the exchange; it may have to be started again from what it said."""
        status, simulation = exchange_status(self.wanted.exchange_url), self.wanted.simulation
        if status is not None and simulation is not None:
            self.time = _Time(int(status["now_ms"]), time.monotonic(), simulation.speed)
        return status is not None

    def _settle_day(self) -> None:
        """Learn from the exchange which day and index it has, and make that simulated day anew."""
        status = exchange_status(self.wanted.exchange_url)
        if status is None:
            raise DataError("the exchange went away while it was asked for its day; start again")
        day, index = date.fromisoformat(status["date"]), str(status["indices"][0])
        self.wanted = replace(self.wanted, day=day, index=index)
        self.settings.index(index)
        # A recording's day is known only now.
        paths, made = self.wanted.paths, Simulated(str(status["source"]), int(status["seed"]))
        claim_day(paths, day, made, self.rules.underlyings)
        confirm_simulated(paths, self.rules, day, utc_text(int(status["now_ms"])))
        with Ledger.open(paths.ledger) as ledger:
            ledger.clear_day(day)

    def _has_pack(self) -> bool:
        """Whether an earlier run has left a day pack that the sidecar would arm with on this market."""
        wanted = self.wanted
        assert wanted.day is not None
        try:
            pack = load_day_pack(
                wanted.paths.day_pack(wanted.day), day=wanted.day, config_sha256=self.settings.config_sha256
            )
        except DataError:
            return False
        if wanted.index not in pack.underlyings or not wanted.paths.instruments(wanted.day).exists():
            return False
        status = exchange_status(wanted.exchange_url) if wanted.simulation is not None else None
        return status is None or (pack.source_label, pack.seed) == (status["source"], status["seed"])

    def _run_job(self, name: str, purpose: str) -> None:
        """Run a phase that everything after it needs."""
        assert self.wanted.day is not None
        self.supervisor.say(f"{purpose} ({self.supervisor.group.logs / name}.log)")
        if problem := self.supervisor.run(name, job(name, self.wanted.day, self.wanted.index)):
            raise DataError(problem)

    def _collector_is_there(self) -> bool:
        """Whether it takes part in the exchange's time; Kite does not know who listens."""
        if self.wanted.simulation is None:
            return True
        status = exchange_status(self.wanted.exchange_url)
        return status is not None and any(one["name"] == COLLECTOR for one in status["participants"])

    def _sidecar_answers(self) -> bool:
        return answer(f"{self.wanted.control_url}/healthz") is not None

    def _ui_answers(self) -> bool:
        return answer(f"{self.wanted.ui_url}/server_info") is not None

    def _show_addresses(self) -> None:
        wanted, root, simulation = self.wanted, self.wanted.paths.root, self.wanted.simulation
        assert wanted.day is not None
        market = "Kite, paper money"
        if simulation is not None:
            market = f"{simulation.source}, seed {simulation.seed}, {simulation.speed:g} times as fast as real time"
        lines = [
            f"{wanted.index} {self.rules.shown(wanted.day)} is up ({market})",
            f"  web UI    {wanted.ui_url}  (no login: for this machine only)",
            f"  sidecar   {wanted.control_url}/status  (also /readyz)",
            f"            {wanted.status_command}",
            f"  metrics   {wanted.control_url}/metrics",
            f"  logs      {root / 'logs'}",
            "  the end   Ctrl+C",
        ]
        if simulation is not None:
            lines.insert(4, f"  exchange  {wanted.exchange_url}/sim/status")
        for line in lines:
            self.supervisor.say(line)

    def _look(self) -> None:
        """Keep the exchange's time in mind, and pass on what the sidecar tells people."""
        if self.wanted.simulation is not None and (
            self.time is None or time.monotonic() - self.time.told_s > LOOK_EVERY_S
        ):
            self._knows_time()
        self._pass_on()
        for step in self.job_log.begun() if self.job_log is not None else ():
            self.supervisor.say(f"evening: {step}")

    def _pass_on(self) -> None:
        log = self.supervisor.group.logs / "sidecar.log"
        try:
            with log.open("rb") as file:
                file.seek(self.log_offset)
                new = file.read(READ_BYTES_MAX)
        except OSError:
            return
        whole = new[: new.rfind(b"\n") + 1]
        self.log_offset += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            self.supervisor.say(line.replace("g6 stream: ", "sidecar: ", 1))

    def _evening(self) -> None:
        """Reconcile, score, pick and draw; what it finds is said and does not end the stack."""
        assert self.wanted.day is not None
        self.supervisor.say("the session is over; running the evening job")
        self.job_log = JobLog(self.supervisor.group.logs / "evening.log")
        problem = self.supervisor.run("evening", job("evening", self.wanted.day, self.wanted.index))
        page = self.wanted.paths.report_of(self.wanted.day)
        self.supervisor.say(problem or f"the day is done: {page}; everything stays up until Ctrl+C")


def _turn_logs(folder: Path) -> None:
    """Keep the logs of the run before, and only these."""
    try:
        for log in folder.glob("*.log"):
            log.replace(log.with_suffix(".log.1"))
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror or error}; choose a --data-dir you can write to") from error
