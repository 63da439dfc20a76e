"""Reading the world: one module per source, one heavy library inside the one source that needs it."""
