"""Speeds beside peers, measured in one run: `python -m benchmarks NAME --json`. Nothing of the product imports this."""
