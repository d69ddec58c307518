"""The benchmark room: a scripted Ollama, a load generator, peers to compare with, and the commands that print tables.

Nothing of the gateway imports it, and it imports nothing of the gateway: it drives every program from outside, over
HTTP, and reads its cost from /proc (so it wants Linux).
"""
