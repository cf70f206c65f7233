"""What a model sees: encoders, the cache of vectors by bytes and encoder, weak signals, drift."""
