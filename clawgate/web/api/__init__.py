"""Our own routes and wire format: chat as server-sent events, interrupt, sessions, health."""
