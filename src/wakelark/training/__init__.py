"""Training: views and batches, the trainers and their loop, teachers, checkpoints."""
