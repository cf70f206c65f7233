"""The asset of the group `train`, and its checks."""
