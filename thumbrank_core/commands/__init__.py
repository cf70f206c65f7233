"""The verbs of the command line: options in, one call of the library, words or JSON out."""
