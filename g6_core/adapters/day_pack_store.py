"""Writes and reads the day pack and expiries.json; refuses a pack that is not exactly the one to arm with."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import msgspec

from g6_core.adapters.files import canonical_json, plain, sha256_hex, write_atomic
from g6_core.adapters.hints import command
from g6_core.domain.errors import DataError
from g6_core.schema.day_pack import DAY_PACK_VERSION, DayPack
from g6_core.schema.expiries import EXPIRIES_VERSION, Expiries
from g6_core.schema.picks import PICKS_VERSION, Picks


def prepare_command(day: date | str, data_dir: Path | None) -> str:
    """Return what a person types: everything before the open of one index; the packs of several become one."""
    return command(
        *("asset", "materialize", "-m", "g6_pipelines.definitions"),
        *("--select", "+day_pack", "--partition", f"{day}|NIFTY"),
        program="dagster",
        environment={"G6_DATA_DIR": data_dir} if data_dir is not None else None,
    )


def sealed(pack: DayPack) -> DayPack:
    """The pack with its `sha256` set; whatever stood there before does not count."""
    return replace(pack, sha256=_seal(plain(pack)))


def save_day_pack(path: Path, pack: DayPack) -> None:
    """Write a sealed pack; the same pack always gives the same bytes."""
    write_atomic(path, canonical_json(pack) + b"\n")


def load_day_pack(path: Path, *, day: date, config_sha256: str, data_dir: Path | None = None) -> DayPack:
    """Read a pack that was made for `day` under this configuration.

    `data_dir` is where it is made, for the fix. Raises DataError, one line each: missing, not JSON, not a day pack,
    wrong version, wrong hash, another day's, made under another configuration.
    """
    fix = f"make it, for each index: {prepare_command(day, data_dir)}"
    document = _read_json(path, "day pack", fix)
    version = document.get("version")
    if version != DAY_PACK_VERSION:
        raise DataError(f"{path}: day pack version {version!r}, this program reads {DAY_PACK_VERSION}; {fix}")
    if document.get("sha256") != _seal(document):
        raise DataError(f"{path}: the day pack does not match its sha256, it was changed or damaged; {fix}")
    try:
        pack = msgspec.convert(document, DayPack)
    except msgspec.ValidationError as error:
        raise DataError(f"{path}: not a day pack ({error}); {fix}") from error
    if pack.trade_date != day:
        raise DataError(f"{path}: the day pack is for {pack.trade_date}, not for {day}; {fix}")
    if pack.config_sha256 != config_sha256:
        raise DataError(f"{path}: the day pack was made under another configuration; {fix}")
    return pack


def save_expiries(path: Path, expiries: Expiries) -> None:
    """Write `data/state/expiries.json`."""
    write_atomic(path, canonical_json(expiries) + b"\n")


def load_expiries(path: Path) -> Expiries:
    """Read `data/state/expiries.json`; DataError when it is missing, damaged or of another version."""
    fix = f"make it again: {prepare_command('DATE', None)}"
    document = _read_json(path, "expiries file", fix)
    if document.get("version") != EXPIRIES_VERSION:
        raise DataError(f"{path}: version {document.get('version')!r}, this program reads {EXPIRIES_VERSION}; {fix}")
    try:
        return msgspec.convert(document, Expiries)
    except msgspec.ValidationError as error:
        raise DataError(f"{path}: not an expiries file ({error}); {fix}") from error


def load_picks(path: Path, day: date) -> Picks | None:
    """The picks made for `day`; None when there are none. DataError when the file is damaged or another day's."""
    if not path.exists():
        return None
    fix = "run the score stage of the day before again, or remove the file to trade without picks"
    document = _read_json(path, "picks file", fix)
    if document.get("version") != PICKS_VERSION:
        raise DataError(f"{path}: version {document.get('version')!r}, this program reads {PICKS_VERSION}; {fix}")
    try:
        picks = msgspec.convert(document, Picks)
    except msgspec.ValidationError as error:
        raise DataError(f"{path}: not a picks file ({error}); {fix}") from error
    if picks.trade_date != day:
        raise DataError(f"{path}: the picks are for {picks.trade_date}, not for {day}; {fix}")
    return picks


def _read_json(path: Path, what: str, fix: str) -> dict[str, object]:
    try:
        document = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{path}: no {what}; {fix}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {fix}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the {what} is not JSON ({error}); {fix}") from error
    if not isinstance(document, dict):
        raise DataError(f"{path}: not a {what}; {fix}")
    return document


def _seal(document: dict[str, object]) -> str:
    return sha256_hex(canonical_json({key: value for key, value in document.items() if key != "sha256"}))
