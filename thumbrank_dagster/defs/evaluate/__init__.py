"""The asset of the group `evaluate`."""
