"""Tests against real engines, and the suite that holds the simulation to what they do."""
