"""The JSON contract of `gpudesk status --json` and its plain-text twin."""
