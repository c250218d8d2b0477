"""How learners and synthetic tensors move: optimizers, class gradients, states."""
