"""What commands print as tables: plans, spaces of sweeps, scores of one world model."""
