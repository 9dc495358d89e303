"""The engine run over recorded or simulated days: replay, later backtest and sweep."""
