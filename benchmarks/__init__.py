"""Side-by-side speed measurements; ``make bench`` runs them all."""
