"""Assets of the group `collect`: videos, pictures, owners' reach."""
