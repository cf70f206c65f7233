"""From counts to pairs: which videos count, growth, baselines, labels, pairs, splits."""
