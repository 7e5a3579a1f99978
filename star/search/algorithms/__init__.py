"""The algorithm of a search: building and rehearsing any of pymoo's, and those that are this project's own."""
