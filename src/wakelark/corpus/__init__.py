"""From a phrase and recordings to a manifest of clips."""
