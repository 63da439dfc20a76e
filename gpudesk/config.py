"""What the user may set, read from TOML."""
