"""The relay makes one answer: it admits a request, pumps Ollama's frames, ends the run once, and settles its session.

    request ─► desk ─► admission ─► run ◄── pump ◄── exchange (ollama/)
                                     ▼
                                  reader ─► events (web/)

web/ is the only caller. The relay uses ollama/ and sessions/, and knows neither HTTP nor any wire format.
"""
