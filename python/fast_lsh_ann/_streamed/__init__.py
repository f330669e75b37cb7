"""Searches and joins over tables, of which no more is held than a limit allows."""
