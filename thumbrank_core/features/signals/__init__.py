"""Weak sub-score signals: what can be read off a picture, or off vectors already stored, without a person's judgement."""
