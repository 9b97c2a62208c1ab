"""click lives here and nowhere else."""
