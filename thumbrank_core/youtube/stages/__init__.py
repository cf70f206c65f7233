"""The stages of a collection, each of which goes on where it stood."""
