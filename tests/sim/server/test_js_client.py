"""The official JavaScript client of Kite against the served exchange: what its users write must work here."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.servers import needs
from tests.sim.server.kit import INDEX_TOKEN, PROJECT, serving

pytestmark = pytest.mark.slow
SOURCES = PROJECT / "tests" / "sim" / "server" / "js"
OFFLINE = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT")
INSTALL_S, MORNING_S = 180, 90


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script beside the locked client; skipped, by name, without npm or without a way to its registry."""
    folder = tmp_path_factory.mktemp("js") / "client"
    npm = needs("npm")
    shutil.copytree(SOURCES, folder)
    options = ["--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run([npm, "ci", *options], cwd=folder, capture_output=True, text=True, timeout=INSTALL_S)
    if done.returncode and OFFLINE.search(done.stderr):
        pytest.skip("the registry of npm cannot be reached: the JavaScript client cannot be installed")
    assert done.returncode == 0, done.stderr
    return folder / "client.cjs"


@pytest.fixture(scope="module")
def found(client: Path) -> dict[str, Any]:
    """What a morning with the client gave."""
    with serving("--start", "10:00") as server:
        command = [needs("node"), client.name, server.url]
        done = subprocess.run(command, cwd=client.parent, capture_output=True, text=True, timeout=MORNING_S)
        assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_session_profile_margins_and_instruments_are_as_the_client_expects(found: dict[str, Any]) -> None:
    assert (found["without_session"], found["after_logout"]) == ("TokenException", "TokenException")
    assert found["session"]["access_token"] and found["session"]["user_id"] == found["profile"]["user_id"]
    assert found["margins"]["equity"] == found["equity"]
    listed = found["instruments"]
    assert listed["rows"] > 1_000
    assert (listed["first"]["name"], listed["first"]["lot_size"]) == ("NIFTY", 65)
    assert found["contract"]["expiry"].startswith("2026-11-")


def test_market_data_come_by_call_and_by_stream(found: dict[str, Any]) -> None:
    assert found["ltp"]["instrument_token"] == INDEX_TOKEN
    quote = found["quote"]
    assert quote["depth"]["buy"][0]["price"] < quote["depth"]["sell"][0]["price"]
    assert found["ohlc"]["ohlc"]["close"] == quote["ohlc"]["close"]
    assert len(found["candles"]) == 6 and found["candles"][0]["oi"] > 0
    ticks = found["ticks"]
    assert set(ticks) == {str(INDEX_TOKEN), found["contract"]["instrument_token"]}
    assert abs(ticks[str(INDEX_TOKEN)]["last_price"] / found["ltp"]["last_price"] - 1) < 0.05


def test_orders_are_placed_modified_cancelled_and_booked(found: dict[str, Any]) -> None:
    assert found["statuses"] == ["COMPLETE", "CANCELLED"]
    assert "MODIFIED" in found["history"]
    assert found["order_trades"] == found["trades"]
    assert [row["quantity"] for row in found["positions"]["net"]] == [65]
    assert (found["holdings"], found["auctions"]) == ([], [])
    assert found["margins_of_order"][0]["total"] > 0
    assert found["refused"] == "InputException"
