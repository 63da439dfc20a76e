"""Values and pure rules: what a card, a model, an engine is. No I/O, standard library only."""
