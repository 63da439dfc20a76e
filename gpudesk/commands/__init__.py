"""One headless verb per module; none of them reaches the screen."""
