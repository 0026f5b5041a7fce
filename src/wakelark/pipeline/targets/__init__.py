"""What `wakelark export` writes: one file per target, each behind `Target`, each proven in its own runtime."""
