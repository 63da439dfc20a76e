"""Everything that changes something: previewed, confirmed, carried out, verified by looking, and written down.

`values` says what an action is, `ports` what it needs of the world. The preview modules are pure: a desk and a wish
give a `Preview`. `run` carries a preview out, one step after the other, and brings back what was there when a step
fails. Keys, palette, commands and the guard all come in here.
"""
