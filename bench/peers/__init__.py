"""Programs that clawgate is compared with: the relay everyone writes (naive.py) and nginx passing the raw stream."""
