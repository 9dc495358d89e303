"""The nearest name is suggested, whatever its capitals; without one all are named."""

import pytest

from g6_core.domain.suggest import did_you_mean, nearest


@pytest.mark.parametrize(
    ("name", "meant"), [("NIFTI", "NIFTY"), ("nifty", "NIFTY"), ("banknifty", "BANKNIFTY"), ("SENSEKS", "SENSEX")]
)
def test_the_nearest_name(name: str, meant: str) -> None:
    assert nearest(name, ["NIFTY", "BANKNIFTY", "SENSEX"]) == meant
    assert did_you_mean(name, ["NIFTY", "BANKNIFTY", "SENSEX"]) == f"did you mean {meant}?"


def test_without_a_near_one_all_are_named() -> None:
    assert nearest("DAX", ["NIFTY", "SENSEX"]) == ""
    assert did_you_mean("DAX", ["NIFTY", "SENSEX"]) == "choose one of NIFTY, SENSEX"
