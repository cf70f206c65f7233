"""What assets and sensors are given: state, YouTube, MLflow, alerts, the clock."""
