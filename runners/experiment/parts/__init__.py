"""What methods are put together from: one idea in one file."""
