"""A world to trade in: market sources, matching, account, virtual clock and Kite transport."""
