"""Asset checks by phase of the day: each reads what an asset left on disk and can fail."""

from g6_pipelines.checks import before_open, evening, session

ALL_CHECKS = (*before_open.CHECKS, *session.CHECKS, *evening.CHECKS)
