"""Tasks: classification of images, and language modelling."""
