"""The screens: the desk, details, help."""
