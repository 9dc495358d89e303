"""Where everything lives below the data directory."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DataPaths:
    """Paths below one data directory; nothing is created here."""

    root: Path

    @property
    def expiries(self) -> Path:
        """Resolved expiry codes of every index, the newest day prepared."""
        return self.root / "state" / "expiries.json"

    def instruments(self, day: date) -> Path:
        """The broker's dump of the day."""
        return self.root / "state" / "instruments" / f"{day}.parquet"

    def day_pack(self, day: date) -> Path:
        """The hashed day pack that the trading side arms with."""
        return self.root / "state" / "day_pack" / f"{day}.json"

    @property
    def history(self) -> Path:
        """At-the-money IV and open interest near the money per index, day and kind of source."""
        return self.root / "state" / "history.json"

    def picks(self, day: date) -> Path:
        """Picks made for trading on `day`."""
        return self.root / "state" / "picks" / f"{day}.json"

    def scores(self, day: date) -> Path:
        """Strategy scores after the close of `day`."""
        return self.root / "state" / "scores" / f"{day}.json"

    def lake(self, day: date, underlying: str) -> Path:
        """Every collected option row of an index and day: an Arrow stream, one batch a cycle."""
        return self.root / "lake" / "options" / underlying / f"{day}.arrows"

    def closing(self, day: date, underlying: str) -> Path:
        """The last quote of every contract of an index and day, asked after the close."""
        return self.root / "lake" / "closing" / underlying / f"{day}.parquet"

    def cycle_log(self, day: date, underlying: str) -> Path:
        """How each cycle of an index and day was collected, one line of JSON each."""
        return self.root / "lake" / "cycles" / underlying / f"{day}.jsonl"

    def influx_position(self, day: date, underlying: str) -> Path:
        """How far the lake of an index and day has been copied to InfluxDB."""
        return self.root / "state" / "influx" / underlying / f"{day}.json"

    @property
    def bhavcopies(self) -> Path:
        """Folder for bhavcopies as the exchange publishes them; somebody else puts them there."""
        return self.root / "bhavcopy"

    def answers(self, day: date, underlying: str) -> Path:
        """The broker's candles of an index and day as they were answered: an Arrow stream, one batch a call."""
        return self.root / "lake" / "answers" / underlying / f"{day}.arrows"

    def repaired(self, day: date, underlying: str) -> Path:
        """The minutes of an index and day that are not live, from the answers; never mixed into the lake."""
        return self.root / "lake" / "repaired" / underlying / f"{day}.parquet"

    def listed_later(self, day: date) -> Path:
        """For a day whose own dump was not kept: the dump that its backfill went by."""
        return self.root / "state" / "instruments" / "listed_later" / f"{day}.parquet"

    def expired(self, underlying: str, expiry: date) -> Path:
        """Folder with what is kept of an expiry before its contracts vanish."""
        return self.root / "lake" / "expired" / underlying / str(expiry)

    def csv_options(self, underlying: str, expiry_code: str, offset: int, day: date) -> Path:
        """One contract pair by its distance from the money."""
        return self.root / "csv" / "options" / underlying / expiry_code / str(offset) / f"{day}.csv"

    def csv_overview(self, underlying: str, expiry_code: str, day: date) -> Path:
        """One line a cycle about a whole expiry."""
        return self.root / "csv" / "overview" / underlying / expiry_code / "0" / f"{day}.csv"

    def journal(self, day: date) -> Path:
        """Write-ahead journal of the trading side."""
        return self.root / "journal" / f"{day}.g6j"

    def paper_account(self, day: date) -> Path:
        """Orders, trades and cash of the paper broker."""
        return self.root / "state" / "paper" / f"{day}.json"

    def trade_report(self, day: date) -> Path:
        """What the trading side says it did on `day`, in figures."""
        return self.root / "state" / "trade_report" / f"{day}.json"

    @property
    def sidecar_lock(self) -> Path:
        """Held by the one process that trades in this directory."""
        return self.root / "state" / "sidecar.lock"

    def session_lock(self, day: date) -> Path:
        """Held by the one process that collects `day` into this directory."""
        return self.root / "state" / "session" / f"{day}.lock"

    @property
    def heartbeat(self) -> Path:
        """What the collecting process, or the last one, was doing: schema `Heartbeat`."""
        return self.root / "state" / "session" / "heartbeat.json"

    @property
    def runtime_status(self) -> Path:
        """The newest cycle in figures, for people and programs that look on."""
        return self.root / "state" / "runtime_status.json"

    def dump_note(self, day: date) -> Path:
        """When the dump of the day was fetched."""
        return self.root / "state" / "instruments" / f"{day}.json"

    @property
    def control_token(self) -> Path:
        """Bearer token of the running sidecar's control port, for this user only."""
        return self.root / "state" / "control.token"

    @property
    def ledger(self) -> Path:
        """Signals, decisions, orders, fills and trades, in SQL."""
        return self.root / "ledger.sqlite"

    def reconciliation(self, day: date, part: str) -> Path:
        """What the evening's comparison found; `part` is an index, or `orders`."""
        return self.root / "state" / "reconciliation" / part / f"{day}.json"

    def differences(self, day: date, part: str) -> Path:
        """Every difference that the comparison of a part has found, a line each, bounded."""
        return self.reconciliation(day, part).with_suffix(".differences.txt")

    def acceptance(self, day: date) -> Path:
        """That a person has accepted what the evening of `day` found wrong, and why."""
        return self.root / "state" / "accepted" / f"{day}.json"

    def confirmation(self, day: date) -> Path:
        """That a person has confirmed that the exchange trades on the provisional `day`."""
        return self.root / "state" / "confirmed" / f"{day}.json"

    @property
    def summary(self) -> Path:
        """What happened on the newest day, for machines."""
        return self.root / "day_summary.json"

    @property
    def report(self) -> Path:
        """What happened on the newest day, for people."""
        return self.root / "day_report.html"

    def report_of(self, day: date) -> Path:
        """The page of any day."""
        return self.root / "reports" / f"{day}.html"

    @property
    def simulated(self) -> Path:
        """Which days are simulated, and from what."""
        return self.root / "simulated.json"

    @property
    def run_lock(self) -> Path:
        """Held by a simulated run for as long as it works in this directory."""
        return self.root / ".run.lock"

    @property
    def shared_lock(self) -> Path:
        """Held while a document that several indices share is read, changed and written."""
        return self.root / "state" / ".shared.lock"
