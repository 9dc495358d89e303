"""Counter-based random numbers inside compiled code, for one contract at one second.

The same key, purpose and counter always give the same number, in any order: SplitMix64's finaliser over them.
`g6_core.sim.keys` makes the keys.
"""

import numpy as np

from g6_core.domain.kernel import kernel

_TO_UNIT = 1.0 / (1 << 52)


@kernel("uint64(uint64)")
def _mix(word: np.uint64) -> np.uint64:
    """SplitMix64's finaliser: every input bit changes half of the output bits."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


@kernel("float64(int64, int64, int64)")
def unit_at(key: int, purpose: int, counter: int) -> float:
    """A number in (0, 1) for (key, purpose, counter); `purpose` is a small number, one per use of the key."""
    word = _mix(np.uint64(key) + np.uint64(purpose + 1) * np.uint64(0x9E3779B97F4A7C15))
    word = _mix(word ^ (np.uint64(counter) + np.uint64(0x632BE59BD9B4E019)))
    # 52 bits and a half: exact in a double, so that neither 0 nor 1 can come out.
    return (np.float64(np.int64(word >> np.uint64(12))) + 0.5) * _TO_UNIT
