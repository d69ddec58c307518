"""The way of every request, in any wire format: the checks, the caller, the reading of a body, the answering.

It knows no other room of web/.
"""
