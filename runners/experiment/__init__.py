"""Searches and trainings: methods, recipes, parts, the loop."""
