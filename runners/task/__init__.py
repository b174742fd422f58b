"""Tasks of a network: images with labels, or text."""
