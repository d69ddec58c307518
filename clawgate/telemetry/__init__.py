"""The log and the metrics, for the operators of the gateway."""
