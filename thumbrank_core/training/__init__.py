"""Learning: recipe, batches, loop, fine-tuning, checkpoints and processes."""
