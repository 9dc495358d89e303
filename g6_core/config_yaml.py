"""Strict YAML: duplicate keys and aliases are errors, and every problem becomes one line with file, key and fix."""

import difflib
import re
import types
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from g6_core.domain.errors import ConfigError

M = TypeVar("M", bound=BaseModel)
FILE_BYTES_MAX = 1_000_000
_DATE_KEY = re.compile(r"datetime\.date\((\d+), (\d+), (\d+)\)")


class _StrictLoader(yaml.CSafeLoader):  # the compiled parser: ten times faster than the plain one
    """SafeLoader that refuses a mapping with the same key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.MarkedYAMLError(problem="a key must be a plain value", problem_mark=key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} is given twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _timestamp(loader: _StrictLoader, node: yaml.ScalarNode) -> object:
    """A date; one that does not exist is an error with its place."""
    try:
        return loader.construct_yaml_timestamp(node)
    except ValueError as error:
        raise yaml.MarkedYAMLError(problem=f"{node.value!r}: {error}", problem_mark=node.start_mark) from None


_StrictLoader.add_constructor("tag:yaml.org,2002:timestamp", _timestamp)


def read_yaml(file: Path) -> dict[Any, Any]:
    """The mapping in a YAML file; ConfigError with line and column, or naming what is wrong with the file."""
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise ConfigError(f"{file}: larger than {FILE_BYTES_MAX} bytes; this is not a configuration file")
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such file; restore it or name the right configuration directory") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); check its permissions") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: is not UTF-8 text; save it as UTF-8") from None
    try:
        for token in yaml.scan(text, Loader=yaml.CSafeLoader):
            if isinstance(token, yaml.AliasToken):
                raise yaml.MarkedYAMLError(
                    problem=f"*{token.value} refers to another place", problem_mark=token.start_mark
                )
        data = yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        problem = " ".join((error.problem or "cannot be parsed").split())
        raise ConfigError(f"{file}{place}: {problem}; correct the YAML there") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{file}: {' '.join(str(error).split())}; correct the YAML") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{file}: holds no mapping; write `key: value` lines as in the shipped file")
    return data


def validate(model: type[M], data: Mapping[Any, Any], file: Path) -> M:
    """`data` as `model`; a ConfigError with one line per problem, most useful alone."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        details = sorted(error.errors(include_url=False), key=lambda detail: detail["type"] != "extra_forbidden")
        lines = dict.fromkeys(_line(model, file, detail) for detail in _told_once(model, details))
        raise ConfigError("\n".join(lines)) from None


def _told_once(model: type[BaseModel], details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without the missing keys that were only misspelt: the unknown key beside them already names them."""
    meant = {
        (*detail["loc"][:-1], near)
        for detail in details
        if detail["type"] == "extra_forbidden" and (near := _meant(model, detail))
    }
    return [detail for detail in details if not (detail["type"] == "missing" and detail["loc"] in meant)]


def _meant(model: type[BaseModel], detail: ErrorDetails) -> str | None:
    """The known key closest to an unknown one."""
    near = difflib.get_close_matches(str(detail["loc"][-1]), _known_keys(model, detail["loc"][:-1]), n=1)
    return near[0] if near else None


def _line(model: type[BaseModel], file: Path, detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    location = [*(_key(part) for part in detail["loc"]), *([context["key"]] if "key" in context else [])]
    if location and location[-1] == "[key]":
        location.pop()
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    problem, fix = _problem_and_fix(model, detail)
    return f"{file}: {dotted}: {problem}; {fix}" if dotted else f"{file}: {problem}; {fix}"


def _key(part: int | str) -> int | str:
    """Return a key as the file writes it: a date comes as ``datetime.date(2026, 1, 15)``."""
    match = _DATE_KEY.fullmatch(part) if isinstance(part, str) else None
    return f"{int(match[1]):04}-{int(match[2]):02}-{int(match[3]):02}" if match else part


def _problem_and_fix(model: type[BaseModel], detail: ErrorDetails) -> tuple[str, str]:
    kind, context, value = detail["type"], detail.get("ctx", {}), detail.get("input")
    name = str(detail["loc"][-1]) if detail["loc"] else ""
    match kind:
        case "extra_forbidden":
            near = _meant(model, detail)
            hint = f" (did you mean {near}?)" if near else ""
            return f"unknown key{hint}", "remove it or correct it"
        case "missing":
            return "missing", "add it"
        case "rule":
            return str(context["problem"]), str(context["fix"])
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            limits = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
            wanted = next(f"{word} {context[code]}" for code, word in limits.items() if code in context)
            unit = " (per cent are written as people say them: 30 means 30 %)" if name.endswith("_pct") else ""
            return f"{value!r} is impossible, it must be {wanted}{unit}", "correct the value"
        case "literal_error":
            return f"{value!r} is not one of {context['expected']}", "choose one of them"
        case "int_type" | "int_from_float" | "int_parsing":
            return f"{value!r} is not a whole number", "write a plain integer in the unit of the key"
        case "float_type" | "finite_number":
            return f"{value!r} is not a number", "write a plain number in the unit of the key"
        case "invalid_key":
            return f"{name} is not a name", "write the key in letters or in quotes"
        case "string_pattern_mismatch":
            return f"{value!r} has the wrong form", "write it as in the shipped file"
        case "dict_type" | "model_type" | "list_type" | "tuple_type":
            return f"{value!r} is not what belongs here", "write its entries below it as in the shipped file"
        case _:
            return f"{value!r}: {detail['msg'][0].lower()}{detail['msg'][1:]}", "correct the value"


def _known_keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Keys of the model that sits at `path`, to suggest the one that was meant."""
    kind: Any = model
    for part in path:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            fields = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
            kind = _inner(fields.get(str(part)))
        elif get_origin(kind) in (dict, tuple, list):
            kind = _inner(next((argument for argument in reversed(get_args(kind)) if argument is not Ellipsis), None))
        else:
            return []
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [field.alias or name for name, field in kind.model_fields.items()]
    return []


def _inner(annotation: Any) -> Any:
    """The annotation without `| None` and without `Annotated`."""
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next((argument for argument in get_args(annotation) if argument is not type(None)), None)
    return get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation
