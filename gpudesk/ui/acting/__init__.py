"""Acting from the screen: what a key means, what is asked, how it runs. Loaded when the first paint is done."""
