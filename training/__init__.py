"""Scripts that train and evaluate models."""
