"""Assets of the group `label`, and their checks."""
