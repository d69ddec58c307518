"""What is told of the gateway to operators: the log."""
