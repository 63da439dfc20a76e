"""Whether a combination of models fits the cards, before anything is loaded. Pure arithmetic, no I/O."""
