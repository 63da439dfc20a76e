"""What acts on real engines: forecasts, guard and stores wired behind the ports of `actions`."""
