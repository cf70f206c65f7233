"""Real impressions and click-through rates through YouTube's Reporting API, by the consent of a channel's owner.

What belongs here: consent, tokens, reports, and their rows in `reach_daily`. What does not: rates over days
(labels/click_rates.py) and files that people export from Studio (imports/). No other step reads a token.
"""
