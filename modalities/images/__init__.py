"""Image distillation for classification."""
