"""Data side of G6: the stages of a day as plain functions, and (later) the Dagster assets over them."""
