"""Widgets that draw whole lines and repaint only the changed ones."""
