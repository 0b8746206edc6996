"""From a recording and a style to rows of coefficients: everything about motion that needs no network."""
