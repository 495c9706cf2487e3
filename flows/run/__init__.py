"""How one run lives: launched, attached to, ended."""
