"""Folding readings into desks."""
