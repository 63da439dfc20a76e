"""What can be typed: the parser, and each group of verbs in a module of its own."""
