"""Checks of the rendered book that need a browser."""
