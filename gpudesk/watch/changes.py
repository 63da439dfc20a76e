"""What happened between two desks."""
