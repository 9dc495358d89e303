"""The g6 command."""
