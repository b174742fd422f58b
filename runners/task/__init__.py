"""What a network learns: images with labels, or text."""
