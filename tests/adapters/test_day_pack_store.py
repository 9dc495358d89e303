"""A day pack that is not exactly the one to arm with is refused in one clear line."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from g6_core.adapters.day_pack_store import load_day_pack, load_expiries, save_day_pack, sealed
from g6_core.adapters.files import canonical_json, sha256_hex
from g6_core.domain.errors import DataError
from g6_core.schema.day_pack import DAY_PACK_VERSION, DayBefore, DayPack, IndexPack, IvPoint, OiPoint, PackedExpiry
from g6_core.sim.dump import synthetic_book

DAY, EXPIRY = date(2025, 8, 29), date(2025, 9, 2)
DAY_BEFORE = date(2025, 8, 28)
CONFIG = "c" * 64


@pytest.fixture
def pack(rules) -> DayPack:
    book = synthetic_book(rules, DAY, {"NIFTY": {EXPIRY: [24_500_00, 24_550_00]}})
    index_row = book.index("NIFTY")
    assert index_row is not None
    nifty = IndexPack(
        index_row=index_row,
        session_open_ms=1,
        session_close_ms=2,
        packed=(PackedExpiry(EXPIRY, 2),),
        expiries={"this_week": EXPIRY},
        freeze_quantity=1800,
        instruments=book.rows[1:],
        iv_history=(IvPoint(DAY_BEFORE, 8.4),),
        oi_history=(OiPoint(DAY_BEFORE, 75),),
    )
    return sealed(
        DayPack(
            DAY_PACK_VERSION,
            DAY,
            "recorded",
            0,
            CONFIG,
            "d" * 64,
            ("NIFTY",),
            {"NIFTY": nifty},
            None,
            DayBefore(DAY_BEFORE, ("one",)),
            "",
        )
    )


@pytest.fixture
def path(pack, tmp_path) -> Path:
    target = tmp_path / "2025-08-29.json"
    save_day_pack(target, pack)
    return target


def resealed(document: dict[str, Any]) -> dict[str, Any]:
    """A document somebody changed and hashed again."""
    rest = {key: value for key, value in document.items() if key != "sha256"}
    return rest | {"sha256": sha256_hex(canonical_json(rest))}


def test_a_pack_comes_back_equal(path, pack) -> None:
    assert load_day_pack(path, day=DAY, config_sha256=CONFIG) == pack
    assert len(pack.book()) == 5


def test_sealing_twice_changes_nothing(pack) -> None:
    assert sealed(pack) == pack


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pack: pack | {"seed": 1}, "does not match its sha256"),
        (lambda pack: pack | {"note": "added"}, "does not match its sha256"),
        (lambda pack: pack | {"sha256": None}, "does not match its sha256"),
        (lambda pack: resealed(pack | {"version": 0}), "day pack version 0, this program reads 2"),
        (lambda pack: {}, "day pack version None"),
        (lambda pack: resealed(pack | {"indices": 5}), "not a day pack"),
        (lambda pack: resealed(pack | {"trade_date": "2025-08-28"}), "is for 2025-08-28, not for 2025-08-29"),
        (lambda pack: resealed(pack | {"config_sha256": "e" * 64}), "made under another configuration"),
    ],
)
def test_a_changed_pack_is_refused(path, change: Callable[[dict[str, Any]], dict[str, Any]], message: str) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(DataError, match=message) as refused:
        load_day_pack(path, day=DAY, config_sha256=CONFIG)
    assert "\n" not in str(refused.value)
    assert str(refused.value).endswith("--select +day_pack --partition '2025-08-29|NIFTY'"), "a command to type"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"version": 1'])
def test_a_pack_that_is_not_json_is_refused(path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(DataError, match="the day pack is not JSON"):
        load_day_pack(path, day=DAY, config_sha256=CONFIG)


@pytest.mark.parametrize("content", [b"[]", b"1", b"null"])
def test_json_of_another_kind_is_refused(path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a day pack"):
        load_day_pack(path, day=DAY, config_sha256=CONFIG)


def test_a_missing_pack_or_a_folder_in_its_place_is_refused(tmp_path) -> None:
    with pytest.raises(DataError, match=r"no day pack; make it, for each index: .*dagster asset materialize"):
        load_day_pack(tmp_path / "none.json", day=DAY, config_sha256=CONFIG)
    with pytest.raises(DataError, match="cannot be read"):
        load_day_pack(tmp_path, day=DAY, config_sha256=CONFIG)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b'{"version": 9}', "version 9, this program reads 1"), (b'{"version": 1}', "not an expiries file")],
)
def test_a_wrong_expiries_file_is_refused(tmp_path, content: bytes, message: str) -> None:
    path = tmp_path / "expiries.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_expiries(path)
