"""Who selects: building and rehearsing any algorithm of pymoo's, and those that are our own."""
