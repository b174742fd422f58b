"""Sweeps of many runs, and tables that compare runs."""
