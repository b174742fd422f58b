"""Searches and trainings: methods, recipes, parts and the training loop."""
