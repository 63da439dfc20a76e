"""Where gpudesk keeps its files."""
