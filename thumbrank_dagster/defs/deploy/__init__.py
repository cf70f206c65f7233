"""The asset of the group `deploy`."""
