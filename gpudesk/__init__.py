"""gpudesk: live video memory per model, for developers who run language models on their own card."""

__version__ = "0.1.0"
