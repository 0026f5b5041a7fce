"""Trained networks to model files, checked before they are written."""
