"""The log, for the operators of the gateway."""
