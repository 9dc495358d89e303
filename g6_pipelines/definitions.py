"""What Dagster loads: assets, checks, jobs, schedules and sensors of G6, and the folders they work in."""

import os

import dagster as dg

from g6_pipelines import checks
from g6_pipelines.assets import archive, before_open, evening, repair, session
from g6_pipelines.calendar_watch import calendar_job, calendar_schedule
from g6_pipelines.freshness import freshness_job, freshness_schedule
from g6_pipelines.jobs import JOBS
from g6_pipelines.partitions import CONFIG_DIR
from g6_pipelines.resources import G6Resource
from g6_pipelines.retention import retention_job, retention_schedule
from g6_pipelines.schedules import SCHEDULES
from g6_pipelines.sensors import SENSORS

defs = dg.Definitions(
    assets=dg.load_assets_from_modules([before_open, session, repair, evening, archive]),
    asset_checks=dg.load_asset_checks_from_package_module(checks),
    jobs=[*JOBS, freshness_job, calendar_job, retention_job],
    schedules=[*SCHEDULES, freshness_schedule, calendar_schedule, retention_schedule],
    sensors=SENSORS,
    resources={"g6": G6Resource(data_dir=os.environ.get("G6_DATA_DIR") or "data", config_dir=str(CONFIG_DIR))},
    # One process a run: nearly two seconds less, and a killed run leaves no second writer behind.
    executor=dg.in_process_executor,
)
