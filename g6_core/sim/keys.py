"""Keys of random numbers: the same seed and name always give the same numbers, in any order."""

from hashlib import blake2b

from numpy.random import Generator, Philox


def key_of(seed: int, *labels: object) -> int:
    """A 63-bit key for a seed and what it is for; equal text of all labels means an equal key."""
    text = "|".join(str(part) for part in (seed, *labels))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def stream(seed: int, *labels: object) -> Generator:
    """An independent generator for a seed and what it is for."""
    return Generator(Philox(key=key_of(seed, *labels)))
