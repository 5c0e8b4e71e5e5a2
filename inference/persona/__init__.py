"""What a persona has to say to a message: message, persona and what was told, read as text.

`Answers` (answering.py) is the way in: it says what a reply begins with. No model runs in here.
"""
