"""The YouTube Data API: client, errors, the ledger of a day's units, and collection that can be left alone."""
