"""What each stage computes: real frames, trained parts, rollouts, scores, returns."""
