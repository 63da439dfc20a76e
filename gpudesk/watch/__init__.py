"""From readings to desks: when to look, and what follows from what was seen."""
