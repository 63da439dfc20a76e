"""What the user may set: the values, the file they stand in, and which setting wins."""
