"""One module per editor: where its files are, what goes into them, what is silently wrong in them."""
