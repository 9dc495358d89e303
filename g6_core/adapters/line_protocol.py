"""InfluxDB line protocol of a whole frame at once, by polars expressions: no object per point or field."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from math import isfinite
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import polars as pl

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def encode_lines(frame: "pl.DataFrame", measurement: str, tags: Sequence[str], time: str) -> str:
    """The lines of all rows, joined by line ends. `time` names the column (Datetime) of the stamp, written in whole
    milliseconds, UTC.

    What is neither tag nor stamp is a field: integers carry ``i``, texts and dates are quoted, other times are
    integer milliseconds, floats have the digits that bring back the same float. Null, an empty tag value and a float
    that is no number do not exist in the protocol and are left out, and so is a row without any field.
    Names are plain identifiers. Tag values and texts hold no line break, tag values end in no backslash.
    """
    assert set(frame.columns) > {*tags, time}, "a point has at least one field"
    assert all(_NAME.fullmatch(name) for name in (measurement, *frame.columns)), frame.columns
    # Mostly nothing has to be escaped or left out, and counting afterwards costs less than looking before.
    if all(isfinite(column.sum()) for column in frame.iter_columns() if column.dtype.is_float()):
        text = _written(_plain(frame, (*tags, time), careful=False), measurement, tags, time, careful=False)
        if _is_clean(text, frame, tags, time):
            return text
    return _written(_plain(frame, (*tags, time), careful=True), measurement, tags, time, careful=True)


def _is_clean(text: str, frame: "pl.DataFrame", tags: Sequence[str], time: str) -> bool:
    """Whether the lines hold as many separators and quotes as their cells need, and no more."""
    import polars as pl

    nulls = frame.null_count().row(0, named=True)
    cells = sum(frame.height - nulls[name] for name in frame.columns if name != time)
    quoted = sum(
        frame.height - nulls[name]
        for name, kind in frame.schema.items()
        if kind in (pl.String, pl.Date) and name not in tags
    )
    letters = np.frombuffer(text.encode(), np.uint8)
    wanted = {"=": cells, ",": cells - frame.height, " ": 2 * frame.height, '"': 2 * quoted, "\\": 0}
    if any(np.count_nonzero(letters == ord(letter)) != count for letter, count in wanted.items()):
        return False
    # Nothing behind an equals sign is an empty tag value.
    after = letters[1:][letters[:-1] == ord("=")]
    return bool(np.all((after != ord(",")) & (after != ord(" "))))


def _plain(frame: "pl.DataFrame", keep: Sequence[str], *, careful: bool) -> "pl.DataFrame":
    """Times as milliseconds (what is to keep stays), dates as text; if careful, floats that are no numbers as null."""
    import polars as pl

    changed = []
    for name, kind in frame.schema.items():
        if kind == pl.Date:
            changed.append(pl.col(name).cast(pl.String))
        elif kind == pl.Datetime and name not in keep:
            changed.append(pl.col(name).dt.timestamp("ms"))
        elif kind.is_float() and careful:
            changed.append(pl.when(pl.col(name).is_finite()).then(pl.col(name)))
    return frame.with_columns(changed) if changed else frame


def _written(plain: "pl.DataFrame", measurement: str, tags: Sequence[str], time: str, *, careful: bool) -> str:
    """The lines; if careful, with everything escaped that needs it and empty tag values left out."""
    import polars as pl

    fields = [name for name in plain.columns if name not in tags and name != time]
    gaps = {name for name, count in zip(plain.columns, plain.null_count().row(0), strict=True) if count}
    texts = {name for name, kind in plain.schema.items() if kind == pl.String and careful}
    # An empty tag value leaves a gap too.
    key = list(_segments(tags, _tag_template, "", gaps | texts, texts, _tag))
    values = list(_segments(fields, partial(_field_template, plain.schema), ",", gaps, texts, _text))
    stamp = pl.col(time).dt.timestamp("ms")
    if not gaps and not careful:
        # Nothing can be left out: one format for everything.
        shape = f"{measurement}{''.join(one.shape for one in key)} {values[0].shape} {{}}"
        line = pl.format(shape, *(value for one in (*key, *values) for value in one.values), stamp)
    else:
        head = pl.concat_str([pl.lit(measurement), *(one.text() for one in key)], ignore_nulls=True)
        said = pl.concat_str([one.text() for one in values], separator=",", ignore_nulls=True)
        line = pl.format("{} {} {}", head, pl.when(said != "").then(said), stamp)
    text: str = plain.select(line.str.join("\n")).item()
    return text


class _Segment(NamedTuple):
    """Columns in one format: `shape` has a pair of braces for each of the values."""

    shape: str
    values: "list[pl.Expr]"

    def text(self) -> "pl.Expr":
        """Null where a value is."""
        import polars as pl

        return pl.format(self.shape, *self.values)


def _segments(
    names: Sequence[str],
    template: Callable[[str], str],
    separator: str,
    alone: set[str],
    texts: set[str],
    escape: "Callable[[pl.Expr], pl.Expr]",
) -> Iterator[_Segment]:
    """Columns that have a value in every row, as many as stand together; each other one by itself, to be left out."""
    import polars as pl

    for gap, run in groupby(names, alone.__contains__):
        together = list(run)
        for part in [[name] for name in together] if gap else [together]:
            values = [escape(pl.col(name)) if name in texts else pl.col(name) for name in part]
            yield _Segment(separator.join(template(name) for name in part), values)


def _tag(value: "pl.Expr") -> "pl.Expr":
    import polars as pl

    return pl.when(value != "").then(value.str.replace_all(r"([,= ])", r"\${1}"))


def _text(value: "pl.Expr") -> "pl.Expr":
    return value.str.replace_all(r'([\\"])', r"\${1}")


def _tag_template(name: str) -> str:
    return f",{name}={{}}"


def _field_template(schema: "pl.Schema", name: str) -> str:
    import polars as pl

    kind = schema[name]
    return f'{name}="{{}}"' if kind == pl.String else f"{name}={{}}i" if kind.is_integer() else f"{name}={{}}"
