"""The simulated workstation: a card below pynvml, a real HTTP server, a stepped clock, scenarios."""
