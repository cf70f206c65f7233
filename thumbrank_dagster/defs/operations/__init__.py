"""Jobs, schedules and sensors, and the assets of the group `operate`."""
