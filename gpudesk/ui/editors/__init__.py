"""The screen of editors: which there are, the models they get, the change, and what is wrong in their files."""
