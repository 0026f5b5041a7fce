"""Front ends: audio to log-mel frames and to the frozen speech embedding."""
