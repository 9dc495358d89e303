"""Errors, sorted by what the caller does about them.

G6Error                      everything we raise on purpose
├── UserError                somebody can fix it: shown as one line, no traceback
│   ├── ConfigError          a YAML file or an environment variable is wrong      exit 3
│   ├── DataError            a file is missing, corrupt or of a foreign schema    exit 4
│   └── CalendarError        the date cannot be traded or is not covered          exit 4
├── BrokerError              the broker (or the way to it) answered badly
│   ├── NotSent              never left this machine: safe to send again
│   ├── Refused              a definite no: do not send again unchanged
│   ├── OutcomeUnknown       may have happened: poll the order book by tag
│   └── TryLater             a read that may be repeated after a pause (429, 5xx)
├── StoreDown                a copy's store is away or ill: go on without it, send again later
└── Bug                      a broken promise of our own code: crash
"""


class G6Error(Exception):
    """Base of all deliberate errors. `exit_code` is what the command line ends with."""

    exit_code = 1


class UserError(G6Error):
    """Something the person at the keyboard can fix; the message names the fix."""

    exit_code = 2


class ConfigError(UserError):
    """A configuration file or environment variable is wrong."""

    exit_code = 3


class DataError(UserError):
    """An input file is missing, unreadable, corrupt or of a foreign schema."""

    exit_code = 4


class CalendarError(UserError):
    """The date is a holiday, or no dated rule covers it."""

    exit_code = 4


class BrokerError(G6Error):
    """The broker, or the way to it, answered badly."""


class NotSent(BrokerError):
    """The request never left this machine."""


class Refused(BrokerError):
    """The broker said no, definitely."""


class RefusedAsked(Refused):
    """The broker takes no such question; another it may answer."""


class OutcomeUnknown(BrokerError):
    """The request may have taken effect."""


class TryLater(BrokerError):
    """A read that may be repeated after a pause."""


class StoreDown(G6Error):
    """A store that holds a copy is away, slow or ill. What it lacks is sent again later."""


class Bug(G6Error):
    """Our own code broke a promise."""
