"""The server around the application; gunicorn_conf.py puts it together.

worker.py      the main loop: accepts connections, waits for requests, gives each one a thread
connection.py  a client's connection, and how much of a request is there
serving.py     one request on its thread
threads.py     the pool of threads
crew.py        several workers: the one with the least to do takes a new connection
pulse.py       the worker's sign of life
signals.py     SIGTERM, Ctrl-C and SIGHUP
"""
