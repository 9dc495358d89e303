"""The trading decision: state and event in, commands out. Pure and deterministic."""
