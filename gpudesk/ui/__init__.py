"""The screen. It only shows, and asks actions to act."""
