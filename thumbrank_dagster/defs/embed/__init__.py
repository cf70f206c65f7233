"""The asset of the group `embed`, and its checks."""
