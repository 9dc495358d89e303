"""The log of how cycles were collected: one line of JSON a cycle, written before the cycle's rows are.

It is not waited for on the disk: a machine that dies loses what nobody trades by. The last line of a cycle counts, for
a cycle whose rows were not kept is collected again.
"""

import os
from collections.abc import Sequence
from datetime import date

import msgspec

from g6_core.adapters.files import canonical_json, unwritable, write_all
from g6_core.domain.errors import DataError
from g6_core.schema.cycles import CycleFact
from g6_core.schema.paths import DataPaths


def note_cycles(paths: DataPaths, day: date, underlying: str, facts: Sequence[CycleFact]) -> None:
    """Add a line for each. Raises DataError when they cannot be written."""
    path = paths.cycle_log(day, underlying)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            write_all(descriptor, b"\n" * torn + b"".join(canonical_json(fact) + b"\n" for fact in facts))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise unwritable(path, error) from error


def cycle_facts(paths: DataPaths, day: date, underlying: str) -> dict[int, CycleFact]:
    """What is known of the cycles of an index, by time; empty when nothing is. A torn line is none."""
    path = paths.cycle_log(day, underlying)
    found: dict[int, CycleFact] = {}
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return found
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    decoder = msgspec.json.Decoder(CycleFact)
    for line in lines:
        try:
            fact = decoder.decode(line)
        except msgspec.MsgspecError:
            continue
        found[fact.time_ms] = fact
    return found
