"""Data sets by name. Importing the package does not import torch."""
