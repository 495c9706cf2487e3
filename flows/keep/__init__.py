"""Keep or discard: an iteration's change stays if its runs show that it is better."""
