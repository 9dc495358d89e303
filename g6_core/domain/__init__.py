"""The trading domain: pure values and rules. No I/O, no clock, no dice."""
