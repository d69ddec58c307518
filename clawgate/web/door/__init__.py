"""What stands before every route, whatever its wire format: checks, the caller, the reading of a body.

Knows no other room of web/.
"""
