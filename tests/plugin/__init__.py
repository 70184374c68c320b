"""The tests of the pytest plugin."""
