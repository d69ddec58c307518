"""The log: all that the gateway tells its operators."""
