"""Bounded histories for the graphs."""
