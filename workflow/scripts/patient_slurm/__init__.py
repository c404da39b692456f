"""SLURM's executor plugin with patience: a controller that is away for a while, and an ``sbatch``
that is refused for a while, cost a run nothing but time.
"""
