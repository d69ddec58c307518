"""HTTP in and out: the only room, besides app.py, that knows Flask.

Handlers read a request into plain values, hand them to relay/, and encode its events. Inside a streaming
generator there is no `request` and no `current_app`: values go in as arguments.
"""
