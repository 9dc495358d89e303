"""Asset checks by phase of the day: each reads what an asset left on disk and can fail."""

from g6_pipelines.checks import archive, before_open, calendar, evening, fresh, repair, session

ALL_CHECKS = (
    *(*before_open.CHECKS, *session.CHECKS, *fresh.CHECKS, *calendar.CHECKS),
    *(*repair.CHECKS, *evening.CHECKS, *archive.CHECKS),
)
