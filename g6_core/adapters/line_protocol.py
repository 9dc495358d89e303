"""InfluxDB line protocol of a whole frame at once, by polars expressions: no object per point or field."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from math import isfinite
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import polars as pl

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What has to stand behind a backslash in a tag value, and what in a text.
_TAG_SPECIALS: Final = (",", "=", " ")
_TEXT_SPECIALS: Final = ("\\", '"')


def encode_lines(frame: "pl.DataFrame", measurement: str, tags: Sequence[str], time: str) -> "pl.Series":
    """One line a row. `time` names the column (Datetime) of the stamp, written in whole milliseconds, UTC.

    What is neither tag nor stamp is a field: integers carry ``i``, texts and dates are quoted, other times are
    integer milliseconds, floats have the digits that bring back the same float. Null, an empty tag value and a float
    that is no number do not exist in the protocol and are left out; a row without any field is no point: null.
    Names are plain identifiers. Tag values and texts hold no line break, tag values end in no backslash.
    """
    import polars as pl

    assert set(frame.columns) > {*tags, time}, "a point has at least one field"
    assert all(_NAME.fullmatch(name) for name in (measurement, *frame.columns)), frame.columns
    needs = _needs_of(frame, tags)
    plain = _plain(frame, (*tags, time), needs.odd_floats)
    fields = [name for name in plain.columns if name not in tags and name != time]
    gaps = {name for name, count in zip(plain.columns, plain.null_count().row(0), strict=True) if count}
    texts = {name for name, kind in plain.schema.items() if kind == pl.String}
    key = list(_segments(tags, _tag_template, _tag, needs.rough_tags, gaps, texts))
    values = list(_segments(fields, partial(_field_template, plain.schema), _text, needs.rough_texts, gaps, texts))
    stamp = pl.col(time).dt.timestamp("ms")
    if not gaps and not needs.rough_tags:
        # Nothing can be left out: one format for everything.
        shape = f"{measurement}{''.join(one.shape for one in key)} {values[0].shape} {{}}"
        line = pl.format(shape, *(value for one in (*key, *values) for value in one.values), stamp)
    else:
        head = pl.concat_str([pl.lit(measurement), *(one.text() for one in key)], ignore_nulls=True)
        said = pl.concat_str([one.text() for one in values], separator=",", ignore_nulls=True)
        line = pl.format("{} {} {}", head, pl.when(said != "").then(said), stamp)
    return plain.select(line.alias("line")).to_series()


class _Needs(NamedTuple):
    """What one look at the values says has to be done. Mostly nothing, and looking costs less than doing."""

    rough_tags: bool
    rough_texts: bool
    odd_floats: bool


def _needs_of(frame: "pl.DataFrame", tags: Sequence[str]) -> _Needs:
    import polars as pl

    texts = [name for name, kind in frame.schema.items() if kind == pl.String and name not in tags]
    floats = [name for name, kind in frame.schema.items() if kind.is_float()]
    none = pl.lit("")
    # Every tag value stands on a line of its own: an empty one is an empty line.
    in_tags, in_texts, total = frame.select(
        pl.concat_str(tags, separator="\n", ignore_nulls=True).str.join("\n") if tags else none,
        pl.concat_str(texts, ignore_nulls=True).str.join("").alias("texts") if texts else none.alias("texts"),
        # One value that is no number makes the sum none.
        pl.sum_horizontal(pl.col(floats).sum()).alias("total") if floats else pl.lit(0.0).alias("total"),
    ).row(0)
    return _Needs(
        any(special in in_tags for special in _TAG_SPECIALS) or "\n\n" in f"\n{in_tags}\n",
        any(special in in_texts for special in _TEXT_SPECIALS),
        not isfinite(total),
    )


def _plain(frame: "pl.DataFrame", keep: Sequence[str], odd_floats: bool) -> "pl.DataFrame":
    """Times as milliseconds (what is to keep stays), dates as text, floats that are no numbers as null."""
    import polars as pl

    changed = []
    for name, kind in frame.schema.items():
        if kind == pl.Date:
            changed.append(pl.col(name).cast(pl.String))
        elif kind == pl.Datetime and name not in keep:
            changed.append(pl.col(name).dt.timestamp("ms"))
        elif kind.is_float() and odd_floats:
            changed.append(pl.when(pl.col(name).is_finite()).then(pl.col(name)))
    return frame.with_columns(changed) if changed else frame


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
    escape: "Callable[[pl.Expr], pl.Expr]",
    rough: bool,
    gaps: set[str],
    texts: set[str],
) -> Iterator[_Segment]:
    """Columns without gaps, as many as stand together; each other one by itself, so that it can be left out."""
    import polars as pl

    # An empty tag value leaves a gap too.
    alone = gaps | (texts if rough and escape is _tag else set())
    for gap, run in groupby(names, alone.__contains__):
        together = list(run)
        for part in [[name] for name in together] if gap else [together]:
            shape = ("," if escape is _text else "").join(template(name) for name in part)
            values = [escape(pl.col(name)) if rough and name in texts else pl.col(name) for name in part]
            yield _Segment(shape, values)


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
