"""Training: the estimator around Lightning, its data, losses and export. Needs ``ullim[train]``."""
