"""Records become what goes over the wire. Texts tell what was measured; where nothing was, they say so."""
