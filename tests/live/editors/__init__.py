"""The editors themselves: their own parsers, and what they ask an engine for."""
