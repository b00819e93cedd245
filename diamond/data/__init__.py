"""Real frames: collecting, storing, reading, drawing segments; no network."""
