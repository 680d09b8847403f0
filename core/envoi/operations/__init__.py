"""How an installation is doing: metrics, the figures of the operations page, and its chores."""
