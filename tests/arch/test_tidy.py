"""The house rules hold everywhere, and the rules themselves bite.

Layers and forbidden imports are not tested here: `make lint` runs the import contracts over the whole graph.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.arch.tidy import problems_of, python_problems, text_problems, tree_files

PROJECT = Path(__file__).resolve().parents[2]


def test_every_file_of_the_project_keeps_the_house_rules() -> None:
    files = tree_files(PROJECT)
    assert Path("pyproject.toml") in files
    assert Path("g6_core/domain/errors.py") in files
    problems = [problem for path in files for problem in problems_of(PROJECT, path)]
    assert not problems, "\n" + "\n".join(problems)


DOC = '"""Here for a reason."""\n'
BAD_PYTHON = {
    "no docstring": ("g6_core/x.py", "a = 1\n", "no module docstring"),
    "a file of 401 lines": ("g6_core/x.py", DOC + "a = 1\n" * 400, "401 lines"),
    "a function of 71 lines": ("tests/x.py", DOC + "def f():\n" + "    a = 1\n" * 70, "f() has 71 lines"),
    "print in a stage": ("g6_pipelines/x.py", DOC + "print(1)\n", "print() outside"),
    "bare except": ("g6_stream/x.py", DOC + "try:\n    a()\nexcept:\n    pass\n", "swallows"),
    "blind except in a loop": (
        "g6_stream/x.py",
        DOC + "for a in b:\n    try:\n        a()\n    except (ValueError, Exception):\n        continue\n",
        "swallows",
    ),
    "a second time zone": (
        "g6_core/adapters/x.py",
        DOC + "from zoneinfo import ZoneInfo\n",
        "only g6_core/domain/ist.py",
    ),
    "a clock in the domain": ("g6_core/domain/x.py", DOC + "import time\n", "time: time, ids and dice"),
    "dice in the engine": ("g6_core/engine/x.py", DOC + "from random import choice\n", "random: time, ids and dice"),
    "today in the simulator": ("g6_core/sim/x.py", DOC + "a = datetime.date.today()\n", "datetime.date.today()"),
    "now in the simulator": ("g6_core/sim/x.py", DOC + "a = datetime.now(UTC)\n", "datetime.now()"),
    "hidden state of numpy": ("g6_core/sim/x.py", DOC + "a = np.random.default_rng(1)\n", "numpy.random.default_rng"),
    "imported numpy dice": ("g6_core/sim/x.py", DOC + "from numpy.random import rand\n", "numpy.random.rand"),
}


@pytest.mark.parametrize(("path", "text", "expected"), BAD_PYTHON.values(), ids=BAD_PYTHON.keys())
def test_a_broken_rule_is_found_in_python(path: str, text: str, expected: str) -> None:
    found = [message for _, message in python_problems(path, text)]
    assert len(found) == 1, found
    assert expected in found[0]


GOOD_PYTHON = {
    "print in a command": ("g6_core/cli/x.py", DOC + "print(1)\n"),
    "counter-based dice": ("g6_core/sim/x.py", DOC + "a = np.random.Generator(np.random.Philox(key=1))\n"),
    "the clock of a shell": ("g6_stream/x.py", DOC + "import time\na = time.monotonic()\n"),
    "a broad except that tells": ("g6_stream/x.py", DOC + "try:\n    a()\nexcept Exception as e:\n    tell(e)\n"),
    "a function of 70 lines": ("g6_core/x.py", DOC + "def f():\n" + "    a = 1\n" * 69),
}


@pytest.mark.parametrize(("path", "text"), GOOD_PYTHON.values(), ids=GOOD_PYTHON.keys())
def test_what_the_rules_allow_passes(path: str, text: str) -> None:
    assert list(python_problems(path, text)) == []


# Put together at run time, or this file would break the rules that it tests.
BAD_TEXT = {
    "unfinished": "# " + "TO" + "DO later\n",
    "machine path": "path: " + "/ho" + "me/somebody/data\n",
    "registry": "see py" + "pi.org/simple\n",
    "index option": "--index" + "-url here\n",
    "conflict": "<" * 7 + " ours\n",
    "private key": "-----BEGIN RSA PRIVATE" + " KEY-----\n",
    "secret": "api_" + "key = 'abcdefghij0123456789xyz'\n",
    "open end": "last line",
}


@pytest.mark.parametrize("text", BAD_TEXT.values(), ids=BAD_TEXT.keys())
def test_a_broken_rule_is_found_in_any_text(text: str) -> None:
    assert [line for line, _ in text_problems(text)] == [1]


@pytest.mark.parametrize(
    "text", ["https://kite.trade/docs/home/x\n", "/orders/regular\n", "tmp_path / 'a'\n", "data/workspace/x\n"]
)
def test_routes_and_relative_paths_are_not_paths_of_a_machine(text: str) -> None:
    assert list(text_problems(text)) == []


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_planted_bad_file_is_named_with_its_line(tmp_path: Path) -> None:
    planted = tmp_path / "g6_core" / "domain" / "bad.py"
    planted.parent.mkdir(parents=True)
    planted.write_text('"""Fine so far."""\n\nimport random\n')
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("ignored.py\n")
    (tmp_path / "ignored.py").write_text("import random\n")
    files = tree_files(tmp_path)
    assert files == [Path(".gitignore"), Path("g6_core/domain/bad.py")]
    assert problems_of(tmp_path, files[1]) == ["g6_core/domain/bad.py:3: random: time, ids and dice are handed in"]


def test_without_git_the_files_are_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    (tmp_path / "seen.py").write_text("a = 1\n")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "unseen.py").write_text("a = 1\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "unseen.csv").write_text("1,2\n")
    (tmp_path / "binary.bin").write_bytes(b"\x00\xff")
    assert tree_files(tmp_path) == [Path("seen.py")]
