"""The relay makes one answer: it admits a request, pumps Ollama's frames, ends the run once, and settles its session.

    request ─► desk ─► admission ─► run ◄── pump ◄── exchange (ollama/)
                                     ▼
                                    log ─► reader ─► events (web/)

A reader that comes back is given its place in the log (following.py). A run that has several readers, or whose reader
has left, has a thread of its own (driver.py). web/ is the only caller. The relay uses ollama/ and sessions/, and knows
neither HTTP nor any wire format.
"""
