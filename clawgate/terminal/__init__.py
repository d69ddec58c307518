"""`clawgate chat`: a client of the gateway in a terminal, or in a pipe.

It knows the gateway by client/ alone. Nothing that a server says reaches the terminal but through clean.py.
"""
