"""The one place that wires sources, watch, screen and commands together."""
