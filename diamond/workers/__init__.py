"""Who makes stages, and where: what is ready, the processes of a machine, workers that pull."""
