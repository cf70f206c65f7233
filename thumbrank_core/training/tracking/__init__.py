"""Where the figures of a training go while it learns: console, files, TensorBoard, MLflow, Weights & Biases."""
