"""The Wyoming wake service: models for Home Assistant and satellites over a socket. No torch."""
