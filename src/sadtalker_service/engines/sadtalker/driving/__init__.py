"""From driven audio and a style to rows of coefficients: everything about motion that needs no network."""
