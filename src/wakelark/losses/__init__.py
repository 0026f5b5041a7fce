"""Losses: tensors in, one value per example out. They know no trainer and no configuration."""
