"""Studies of a home: run one, list them, describe, export, import, remove."""
