"""Data sets by name, and batches of them. Importing the package does not import torch."""
