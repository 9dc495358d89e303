"""Trading side of G6: feed, journal, order gateway, and the loop that gives events to the engine."""
