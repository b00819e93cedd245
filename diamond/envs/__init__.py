"""The environment, its players and the view of the agent; no tensor."""
