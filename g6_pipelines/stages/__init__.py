"""Stages of a day that the data side owns: prepare, collect, reconcile, score, report. No Dagster here."""
