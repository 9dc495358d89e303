"""The house rules that no linter knows, as functions over source text: each yields (line, what is wrong)."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

Problem = tuple[int, str]

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
NOT_SOURCE = re.compile(r"\.|__pycache__$|data$|build$|dist$|.*\.egg-info$")
# Where time and chance come in as arguments: below these folders nobody asks the machine for them.
TIMELESS = ("g6_core/domain/", "g6_core/engine/", "g6_core/sim/")
PACKAGES = ("g6_core/", "g6_pipelines/", "g6_stream/")
CLOCK_AND_DICE_MODULES = {"time", "random", "uuid", "secrets"}
CLOCK_CALLS = {"now", "utcnow", "today"}
# Counter-based generators are pure functions of their key; everything else in numpy.random hides a state.
PURE_NUMPY_RANDOM = {"Generator", "Philox"}
TIME_ZONE_MODULES = {"pytz", "zoneinfo", "dateutil"}
TIME_ZONE_HOME = "g6_core/domain/ist.py"

TEXT_RULES = (
    (re.compile(r"\b(?:TOD[O]|FIXM[E]|XX[X]|HAC[K])\b"), "unfinished business: do it or delete it"),
    (re.compile(r"(?<![\w.:/*}<])/(?:home|root|work|Users|tmp|opt|mnt|srv|private)/\w"), "a path of one machine"),
    (re.compile(r"\b(?:pypi|python[h]osted|anaconda|npmjs|docker|ghcr|quay)\.(?:org|com|io)\b"), "a registry host"),
    (re.compile(r"--(?:(?:extra-)?index-url|find-links|trusted-host)\b"), "an index option: belongs to the machine"),
    (re.compile(r"(?m)^(?:<{7}|>{7}) "), "a conflict marker"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"), "a private key"),
    (
        re.compile(r"(?i)(?:secret|password|access_token|api_key)[\"']?\s*[:=]\s*[\"'][A-Za-z0-9/+_-]{20,}[\"']"),
        "looks like a secret: secrets come from the environment",
    ),
)


def tree_files(root: Path) -> list[Path]:
    """Text files that are or could be committed, relative to `root`, in order; without git: what looks like source."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
        found = {Path(name) for name in listed if name}
    except (OSError, subprocess.CalledProcessError):
        found = {path.relative_to(root) for path in root.rglob("*")}
        found = {path for path in found if not any(NOT_SOURCE.match(part) for part in path.parts)}
    return sorted(path for path in found if (root / path).is_file() and b"\0" not in (root / path).read_bytes())


def problems_of(root: Path, path: Path) -> list[str]:
    """All broken rules of one file as `file:line: what is wrong`."""
    text = (root / path).read_text(encoding="utf-8")
    found = list(text_problems(text))
    if path.suffix == ".py":
        found += python_problems(path.as_posix(), text)
    return [f"{path}:{line}: {message}" for line, message in sorted(found)]


def text_problems(text: str) -> Iterator[Problem]:
    """What no file may contain, whatever its kind."""
    # Nearly every file is clean: looked at as a whole first, which costs a fifth of looking line by line.
    suspected = [(pattern, message) for pattern, message in TEXT_RULES if pattern.search(text)]
    for number, line in enumerate(text.splitlines() if suspected else (), start=1):
        for pattern, message in suspected:
            if pattern.search(line):
                yield number, message
    if text and not text.endswith("\n"):
        yield text.count("\n") + 1, "the last line does not end"


def python_problems(path: str, text: str) -> Iterator[Problem]:
    """The rules for Python; `path` is relative to the project and decides which of them apply."""
    tree = ast.parse(text)
    if not ast.get_docstring(tree):
        yield 1, "no module docstring: say the file's one reason to exist"
    lines = text.count("\n")
    if lines > FILE_LINES_MAX:
        yield lines, f"{lines} lines, more than {FILE_LINES_MAX}: two reasons to exist?"
    for node in ast.walk(tree):
        yield from _size_problems(node)
        yield from _handler_problems(node)
        if path.startswith(PACKAGES):
            yield from _package_problems(path, node)
        if path.startswith(TIMELESS):
            yield from _time_problems(node)


def _size_problems(node: ast.AST) -> Iterator[Problem]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
        lines = node.end_lineno - node.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            yield node.lineno, f"{node.name}() has {lines} lines, more than {FUNCTION_LINES_MAX}"


def _handler_problems(node: ast.AST) -> Iterator[Problem]:
    if not isinstance(node, ast.ExceptHandler):
        return
    caught = {part.id for part in ast.walk(node.type) if isinstance(part, ast.Name)} if node.type else {"everything"}
    if all(_does_nothing(step) for step in node.body) and caught & {"everything", "Exception", "BaseException"}:
        yield node.lineno, "a broad except that swallows"


def _does_nothing(step: ast.stmt) -> bool:
    text = isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant)
    return text or isinstance(step, ast.Pass | ast.Continue)


def _package_problems(path: str, node: ast.AST) -> Iterator[Problem]:
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
        and "/cli/" not in path
    ):
        yield node.lineno, "print() outside the command line"
    if path != TIME_ZONE_HOME:
        for module in _imported(node) & TIME_ZONE_MODULES:
            yield getattr(node, "lineno", 1), f"{module}: only {TIME_ZONE_HOME} knows time zones"


def _time_problems(node: ast.AST) -> Iterator[Problem]:
    for module in _imported(node) & CLOCK_AND_DICE_MODULES:
        yield getattr(node, "lineno", 1), f"{module}: time, ids and dice are handed in"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCK_CALLS:
        owner = ast.unparse(node.func.value)
        if owner.endswith(("datetime", "date", "Timestamp")):
            yield node.lineno, f"{owner}.{node.func.attr}(): time is handed in"
    for name in _numpy_random(node) - PURE_NUMPY_RANDOM:
        yield getattr(node, "lineno", 1), f"numpy.random.{name}: only counter-based generators (Philox) are pure"


def _numpy_random(node: ast.AST) -> set[str]:
    """Names of `numpy.random` that a node takes."""
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) in {"np.random", "numpy.random"}:
        return {node.attr}
    if isinstance(node, ast.ImportFrom) and node.module == "numpy.random":
        return {alias.name for alias in node.names}
    return set()


def _imported(node: ast.AST) -> set[str]:
    """Top-level names of what an import statement imports."""
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return {node.module.partition(".")[0]}
    return set()
