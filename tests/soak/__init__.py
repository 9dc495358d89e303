"""What takes too long for every run of the tests: whole days, dozens of deaths, minutes of real time."""
