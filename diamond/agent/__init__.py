"""The actor-critic: returns, losses, acting; it takes imagination as a callable and knows no world model."""
