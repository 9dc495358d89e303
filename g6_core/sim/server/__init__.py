"""The simulated exchange behind Kite's HTTP and WebSocket on one loopback port."""
