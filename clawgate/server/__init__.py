"""The server around the application: gunicorn's worker, and signals. gunicorn_conf.py and wsgi.py put them together."""
