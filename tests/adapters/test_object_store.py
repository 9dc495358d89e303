"""Object stores: a folder and a real S3-compatible server over sockets behave alike, and fail with one line."""

from itertools import count
from pathlib import Path

import pytest

from g6_core.adapters.object_store import KEY_VARIABLE, SECRET_VARIABLE, ObjectStore, open_store
from g6_core.config_schema import ArchiveSettings
from g6_core.domain.errors import ConfigError, StoreDown
from tests.servers import S3_KEY, S3_SECRET, bucket_keys, free_port, make_bucket

_buckets = count(1)


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, S3_KEY)
    monkeypatch.setenv(SECRET_VARIABLE, S3_SECRET)


def settings(url: str, bucket: str) -> ArchiveSettings:
    return ArchiveSettings(enabled=True, url=url, region="us-east-1", bucket=bucket, prefix="days/nse", csv=False)


@pytest.fixture
def in_a_bucket(s3_address: str) -> ArchiveSettings:
    bucket = f"store-{next(_buckets)}"
    make_bucket(s3_address, bucket)
    return settings(s3_address, bucket)


@pytest.fixture
def in_a_folder(tmp_path: Path) -> ArchiveSettings:
    return settings(f"file://{tmp_path}/my%20archive", "g6-archive")


def check_store(store: ObjectStore) -> None:
    large = bytes(range(256)) * 40_000
    assert store.get("2025-08-29/none") is None
    for key, data in (("2025-08-29/a b/ü.csv", b"x"), ("2025-08-29/empty", b""), ("large", large)):
        store.put(key, data)
        assert store.get(key) == data
    store.put("large", b"smaller")
    assert store.get("large") == b"smaller"


def test_a_folder_keeps_objects_below_bucket_and_prefix(in_a_folder: ArchiveSettings, tmp_path: Path) -> None:
    check_store(open_store(in_a_folder))
    assert (tmp_path / "my archive" / "g6-archive" / "days" / "nse" / "large").read_bytes() == b"smaller"


def test_a_bucket_keeps_objects_below_its_prefix(in_a_bucket: ArchiveSettings) -> None:
    check_store(open_store(in_a_bucket))
    assert bucket_keys(in_a_bucket.url, in_a_bucket.bucket) == [
        "days/nse/2025-08-29/a b/ü.csv",
        "days/nse/2025-08-29/empty",
        "days/nse/large",
    ]


def test_missing_keys_and_a_missing_bucket_are_named(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"no bucket never-made; create it or correct archive.bucket"):
        open_store(settings(s3_address, "never-made"))
    monkeypatch.delenv(SECRET_VARIABLE)
    with pytest.raises(ConfigError, match=f"needs {KEY_VARIABLE} and {SECRET_VARIABLE}; set both"):
        open_store(settings(s3_address, "never-made"))


def test_a_server_that_is_away_is_one_line_and_tells_no_secret() -> None:
    with pytest.raises(StoreDown, match=r"does not work: .*try again later") as caught:
        open_store(settings(f"http://127.0.0.1:{free_port()}", "g6-archive"))
    assert S3_SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
