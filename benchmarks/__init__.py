"""Races of this package's costly parts against what a user would pick instead."""
