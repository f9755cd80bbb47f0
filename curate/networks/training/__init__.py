"""Parts that the trainings of all networks share: splits, checkpoints, folders, weights."""
