"""A team's own files on their way in: data sets, YouTube Studio's exports, A/B outcomes."""
