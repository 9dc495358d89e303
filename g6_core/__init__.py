"""What both halves of G6 stand on: domain, engine, simulated exchange, schemas, adapters."""

import hashlib
import os
from pathlib import Path


def _name_kernel_cache() -> None:
    """Keep compiled kernels in a folder named after the sources of all of them.

    Numba notices an edit in a kernel's own file only, not in a kernel it calls: after such an edit it would go on
    running the old code from its cache. `NUMBA_CACHE_DIR` in the environment still wins.
    """
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for source in sorted(file for part in ("domain", "engine", "sim") for file in (here / part).rglob("*.py")):
        text = source.read_bytes()
        if b"@kernel(" in text or b"njit(" in text:
            digest.update(source.name.encode() + b"\0" + text)
    folder = here / "__pycache__" / f"kernels-{digest.hexdigest()[:16]}"
    if os.access(folder if folder.exists() else here, os.W_OK):
        os.environ.setdefault("NUMBA_CACHE_DIR", str(folder))


_name_kernel_cache()

# polars gives memory back at once instead of keeping it for later: 12 MB of the peak of a recorded day.
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0")
