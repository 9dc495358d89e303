"""The archive of a day: its files as objects under the hash of their content, and a sealed manifest, written last.

Nothing is ever overwritten but the manifest, and that only after all it names has been read back and found equal. A
crash therefore leaves the manifest of before, or none, and what it names is whole.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from g6_core.adapters.files import canonical_json, sha256_hex, unwritable, write_atomic
from g6_core.adapters.object_store import ObjectStore
from g6_core.domain.errors import DataError, StoreDown
from g6_core.schema.archive import CSV_FILES, DAY_FILES, MANIFEST_VERSION, SCHEMA_FILE, ArchivedFile, Manifest

_HASH_SHOWN = 16


def files_of_day(root: Path, day: date, *, csv: bool) -> list[Path]:
    """What is there of a day below a data directory, with the schemas of its folders; no locks, nothing unfinished."""
    found = [
        path
        for pattern in (*DAY_FILES, *(CSV_FILES if csv else ()))
        for path in root.glob(pattern.format(day=day))
        if path.is_file() and not path.name.startswith(".") and path.suffix != ".tmp"
    ]
    schemas = {
        folder / SCHEMA_FILE
        for path in found
        for folder in path.relative_to(root).parents
        if (root / folder / SCHEMA_FILE).is_file()
    }
    return sorted({*found, *(root / one for one in schemas)})


def read_manifest(store: ObjectStore, day: date) -> Manifest | None:
    """The manifest of a day; None when the day is not archived. DataError when it is damaged or of another version."""
    data = store.get(_manifest_key(day))
    if data is None:
        return None
    where = f"{store.label}/{_manifest_key(day)}"
    try:
        document = msgspec.json.decode(data)
        if document["version"] != MANIFEST_VERSION:
            raise DataError(f"{where}: manifest version {document['version']}, this program reads {MANIFEST_VERSION}")
        manifest = msgspec.convert(document, Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise DataError(f"{where}: not a manifest ({error}); archive the day again") from error
    if manifest.day != day or _sealed(manifest) != manifest:
        raise DataError(f"{where}: the manifest does not match its sha256; archive the day again")
    return manifest


def store_day(store: ObjectStore, manifest: Manifest, contents: Mapping[str, bytes]) -> tuple[Manifest, int]:
    """Archive these files (by their path) under a manifest, which still names none; (the manifest, objects sent).

    What is there already is not sent again, but all of it is read back and compared. Raises StoreDown when something
    comes back other than it was sent, and the errors of the store.
    """
    files = tuple(_described(path, data, contents) for path, data in sorted(contents.items()))
    sent = 0
    for one in files:
        key = f"{manifest.day}/{one.object}"
        if not _is(store.get(key), one):
            store.put(key, contents[one.path])
            sent += 1
            if not _is(store.get(key), one):
                raise StoreDown(f"{store.label}/{key}: came back other than it was sent; archive the day again")
    made = _sealed(replace(manifest, files=files))
    data = _manifest_bytes(made)
    if store.get(_manifest_key(made.day)) != data:
        store.put(_manifest_key(made.day), data)
        sent += 1
    if read_manifest(store, made.day) != made:
        raise StoreDown(f"{store.label}/{_manifest_key(made.day)}: came back other than it was sent; archive again")
    return made, sent


def damaged_objects(store: ObjectStore, manifest: Manifest) -> list[str]:
    """Paths of the files whose objects are missing or not what the manifest says; reads all of them."""
    return [one.path for one in manifest.files if not _is(store.get(f"{manifest.day}/{one.object}"), one)]


def restore_files(store: ObjectStore, manifest: Manifest, into: Path) -> int:
    """Write the files of a day below `into`; returns how many were not there yet. Equal files are left alone.

    DataError, before anything is written, when another file lies in the way; and for an object that is damaged.
    """
    missing = []
    for one in manifest.files:
        path = into / one.path
        if not path.resolve().is_relative_to(into.resolve()):
            raise DataError(f"{store.label}: the manifest of {manifest.day} names {one.path}, outside of the folder")
        try:
            there = path.read_bytes() if path.exists() else None
        except OSError as error:
            raise unwritable(path, error) from error
        if there is None:
            missing.append(one)
        elif not _is(there, one):
            raise DataError(f"{path}: is there already and not what was archived; restore into another folder")
    for one in missing:
        data = store.get(f"{manifest.day}/{one.object}")
        if data is None or not _is(data, one):
            raise DataError(f"{store.label}/{manifest.day}/{one.object}: missing or damaged; archive the day again")
        write_atomic(into / one.path, data)
    return len(missing)


def _described(path: str, data: bytes, contents: Mapping[str, bytes]) -> ArchivedFile:
    digest = sha256_hex(data)
    return ArchivedFile(path, f"{digest[:_HASH_SHOWN]}/{path}", len(data), digest, _schema_version(path, contents))


def _schema_version(path: str, contents: Mapping[str, bytes]) -> int | None:
    """The version that the nearest schema file above a file says."""
    for folder in Path(path).parents:
        data = contents.get((folder / SCHEMA_FILE).as_posix())
        if data is not None:
            document: Any = msgspec.json.decode(data)
            return int(document["version"])
    return None


def _is(data: bytes | None, file: ArchivedFile) -> bool:
    return data is not None and len(data) == file.bytes and sha256_hex(data) == file.sha256


def _sealed(manifest: Manifest) -> Manifest:
    return replace(manifest, sha256=sha256_hex(canonical_json(manifest.unsealed())))


def _manifest_bytes(manifest: Manifest) -> bytes:
    return msgspec.json.format(canonical_json(manifest), indent=2) + b"\n"


def _manifest_key(day: date) -> str:
    return f"{day}/manifest.json"
