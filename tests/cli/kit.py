"""What a day's summary must say, whatever the market."""

KEYS = {
    *("cycles", "rows", "coverage_pct", "signals", "refusals", "trades"),
    *("charges_paise", "net_pnl_paise", "picks", "journal_sha256"),
}
RULE_EXITS = {"stop_loss_30pct", "take_profit_60pct", "trailing_stop_3pct", "time_exit_1520", "circuit_breaker_6pct"}
