"""The planner: choose models, see at once whether they fit together, and what would help."""
